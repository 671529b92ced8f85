#!/usr/bin/env bash
# Makes everything that `make demo` and `make test` need: system programs, a virtual environment, the package in it.
# A second call finds the stamp of the first and returns at once.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
python=${PYTHON:-python3.11}
stamp="$venv/.ready"
wanted=$(cat setup.py pyproject.toml constraints.txt tools/setup.sh | sha256sum | cut -d' ' -f1)

say() { echo "[set-up] $*"; }

# System packages: ffmpeg is needed (musdb, m4a); espeak-ng gives the speech demos their voices; a C compiler builds pesq.
need=()
for program in ffmpeg espeak-ng; do command -v "$program" >/dev/null || need+=("$program"); done
if [ ! -e "$stamp" ] && ! command -v cc >/dev/null; then need+=(gcc libc6-dev python3-dev); fi
if [ ${#need[@]} -gt 0 ]; then
  install="apt-get update && apt-get install -y --no-install-recommends ${need[*]}"
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing system packages: ${need[*]}"
    sh -c "export DEBIAN_FRONTEND=noninteractive; $install" >/dev/null
  elif [ "${need[*]}" = "espeak-ng" ]; then
    say "espeak-ng is missing: the speech demos will use the package's own voices. To have it: sudo sh -c '$install'"
  else
    say "these system programs are missing: ${need[*]}. Please run this line, then call make again:"
    echo "  sudo sh -c '$install'"
    exit 1
  fi
fi

if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

if [ ! -x "$venv/bin/python" ]; then
  command -v "$python" >/dev/null || python=python3
  say "creating the virtual environment $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --constraint constraints.txt)
torch=$(grep '^torch==' constraints.txt)
say "installing $torch (a few hundred MB, a minute or two)"
"${pip[@]}" "$torch"
say "installing everything else (versions from constraints.txt, two minutes or so)"
"${pip[@]}" wheel "setuptools<82"
"${pip[@]}" --editable ".[all,test,dev]"
echo "$wanted" >"$stamp"
say "ready: $(du -sh "$venv" | cut -f1) in $venv"
