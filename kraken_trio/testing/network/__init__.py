"""Between a client and an exchange: a network in memory, virtual time, and a proxy on real sockets."""
