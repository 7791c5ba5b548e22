#!/bin/sh
# Make the virtual environment and install Topline in it: setup.sh PYTHON VENV EXTRAS
# An empty PYTHON means the newest one here that runs; a name on PATH may be a stub that does not.
set -eu
python=$1 venv=$2 extras=$3

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

if [ -z "$python" ]; then
  for candidate in python3.13 python3.12 python3.11 python3; do
    if supported "$candidate"; then python=$candidate; break; fi
  done
fi
if [ -z "$python" ] || ! supported "$python"; then
  echo "Topline needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing python3-venv ..."
    apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
  else
    echo "Python's venv module is missing. Run this once, then try again:  sudo apt-get install -y python3-venv" >&2
    exit 1
  fi
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing Topline's packages into $venv ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".$extras"
