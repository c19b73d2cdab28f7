"""Preloaded by the workers of this machine's own cluster (``distributed.worker.preload``)."""

import signal

# A terminal sends Ctrl-C to the whole group of processes; the job hears it and ends its workers.
signal.signal(signal.SIGINT, signal.SIG_IGN)
