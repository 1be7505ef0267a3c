#!/bin/sh
# Finds the service a temporary folder, though the container's root file system may be read-only, then becomes it.
set -eu

# Shared memory is writable in every container.
if [ ! -w /tmp ]; then
    export TMPDIR=/dev/shm
fi

# numba refuses a cache that it cannot write to, so it gets a copy (3 MB) of the image's.
export NUMBA_CACHE_DIR="${TMPDIR:-/tmp}/numba"
mkdir -p "$NUMBA_CACHE_DIR"
cp -R /opt/rembg/numba/. "$NUMBA_CACHE_DIR"

exec "$@"
