"""What a file is by its first bytes, where these contradict the format that it is read as.

Every function takes the first bytes of a file (decompressed), `HEAD_BYTES` or all of them, and
returns what the file is and what to do, or None to read on. They return None where in doubt:
rows that cannot be read are quarantined one by one. `binary` knows binary formats by their
signatures, `encodings` UTF-16 and UTF-32, `documents` texts that are not the rows of a format.
Which of them a format asks is in its `Format.impostors`; they are asked in `registry.outline`.
Files in another encoding than UTF-8 are decoded, and their encodings detected, in `transcoding`.
Modules here may import `formats.lines`, `rows` and what is below it.
"""
