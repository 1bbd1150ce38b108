"""The only writers of durable state: ledgers, transfers, frames, products, archive.

Files and SQLite with the guarantees of M24 (what was acknowledged survives a kill) and F7 (a
flipped bit is detected, set aside and reported). Decisions about rows are made in the cores.
"""
