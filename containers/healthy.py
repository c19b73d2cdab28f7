"""End with 0 if what is asked for over HTTP answers, with 1 if not: a container's health check."""

import sys
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=5).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
