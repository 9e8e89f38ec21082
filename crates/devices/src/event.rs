//! An event that one thread rings and a poller or another thread waits for.
