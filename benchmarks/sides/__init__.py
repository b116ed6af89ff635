"""One process each: told what to do by one JSON argument, it prints what it found as one line of JSON.

Nothing of kraken_trio is imported where a peer is measured: peers live in environments of their own.
"""
