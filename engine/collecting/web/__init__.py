"""The web client: polite, within limits, and safe against hostile servers.

`web` is the interface that sources and the collector use, and `http_web` its implementation, with
the settings of `request_policy`. `limits` bounds how often each host is asked, and `reading` checks
and decodes answers. This folder knows nothing of items, ledgers or texts. Imports `outcome`,
storage's errors, and aiohttp and protego where they are used.
"""
