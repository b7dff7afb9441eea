"""Sends a file or a tree and checks it end to end: `docs/protocol/transfer.md`.

`wire` and `paths` are words, `sending` and `receiving` pure machines; `source` and `target` are the disks,
`reading` the digests, `link` the network; `sender`, `incoming` and `receiver` join them.
"""
