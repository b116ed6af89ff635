"""The exchange in memory, as for the tests of the client."""

from tests.client.conftest import exchange

__all__ = ["exchange"]
