#!/usr/bin/env bash
# Makes docs/console-*.png anew, of the demo, in Chromium: what README.md and docs/console.md show.
# Usage: scripts/console-pictures.sh    PICTURES=DIR writes them elsewhere
exec "$(dirname "${BASH_SOURCE[0]}")/console-test.sh" --pictures
