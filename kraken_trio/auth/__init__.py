"""API keys, signatures and tokens: what a connection to a private endpoint needs.

From the bottom up:

* :mod:`~kraken_trio.auth.signature`, :mod:`~kraken_trio.auth.answers`, :mod:`~kraken_trio.auth.permissions`: pure code
* :class:`Credentials`: a key and its secret, which never shows them
* :mod:`~kraken_trio.auth.nonce`: one source of nonces per key, and one call at a time
* :mod:`~kraken_trio.auth.http`, :mod:`~kraken_trio.auth.over_httpx`: requests, and sending them over httpx, whose
  exceptions stop there
* :class:`~kraken_trio.auth.rest.Rest`: signed and public calls; retries, waits and deadlines
* :class:`~kraken_trio.auth.tokens.Tokens`: a token per connection attempt
* :class:`~kraken_trio.auth.account.RestAccount`: both, as the actor of a client uses them

Nothing that is kept or raised here contains a key, a secret, a one-time password, a signature or a token in a form that
is printed.
"""

from kraken_trio.auth.credentials import Credentials

__all__ = ["Credentials"]
