"""Health check of a container: exit with 0 if an HTTP address answers, else with 1."""

import sys
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=5).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
