"""What stands between a client and an exchange: a network of memory, virtual time, and a proxy on real sockets."""
