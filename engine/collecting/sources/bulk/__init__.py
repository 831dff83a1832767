"""What sources that read files in bulk share: files of any filesystem, and their containers.

`paging` reads in a thread and cuts pages; `stored_file` opens files and retries transient failures
of storage, and `spool` downloads them; the others each read one container format. What a file says
of itself (sizes, counts, names) is checked before it is used.
Imports `listed_item`, `outcome` and storage; parsers where they are used.
"""
