"""Pages about climbs, made from their histories alone, in memory that does not grow with them.

`climb_report` is the public function. `climb_findings` reads a history once, a piece at a time, and
reduces it: `best_so_far` to lines, `excursions` to a tree, `failed_candidates` to reasons.
`climb_page` is the page, `climb_pictures` draws, and `shown_state` puts states into words. May
import `history`, `proposers`, and what `climbing` may.
"""
