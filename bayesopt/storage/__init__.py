"""Where trials are kept: in memory, in an SQLite file, or in a database server.

A study process reads and writes `Record`s, one for each trial, through a store: `records` is what
was read last, `write` changes them in one transaction. Nothing here knows how a point is chosen.
"""
