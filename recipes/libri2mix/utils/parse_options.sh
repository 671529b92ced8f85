# Kaldi's option convention: each variable set in the script above the line that sources this file is an option of that
# name (not those that begin with _). --some-name value sets some_name (dashes and underscores are the same); --config FILE
# sources a file of variables; --help prints the script's first comment and its options. An unknown option, a missing value,
# and anything but true or false for a variable that holds one of these, are errors.

_options=$(sed '/parse_options\.sh/q' "$0" | grep -oE '^[a-z][a-z_0-9]*=' | tr -d '=')

_help() {
  sed -n '2,/^[^#]/p' "$0" | grep '^#' | cut -c3-
  sed '/parse_options\.sh/q' "$0" | sed -nE 's/^([a-z][a-z_0-9]*)=([^ #]*) *# (.*)/  --\1 [\2]  \3/p'
}

_fail() {
  echo "$(basename "$0"): $*" >&2
  exit 2
}

# A path as the caller means it, for use after a cd: relative ones start where the script was called.
_absolute() {
  case "$1" in
    "" | /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$PWD" "$1" ;;
  esac
}

while [ $# -gt 0 ]; do
  _name=${1#--}
  _name=${_name//-/_}
  case "$1" in
    --help | -h) _help; exit 0 ;;
    --*=*) _fail "write '${1%%=*} ${1#*=}' instead of '$1'" ;;
    --config)
      [ -r "${2:-}" ] || _fail "--config needs a readable file, got '${2:-}'"
      . "$2"
      shift 2
      continue ;;
    --*) grep -qx "$_name" <<<"$_options" || _fail "unknown option $1; known are $(sed 's/^/--/' <<<"$_options" | tr '\n' ' ')" ;;
    *) _fail "unexpected argument '$1': options look like --name value" ;;
  esac
  [ $# -ge 2 ] || _fail "option $1 needs a value"
  case "${!_name}:$2" in
    true:true | true:false | false:true | false:false) ;;
    true:* | false:*) _fail "option $1 is true or false, got '$2'" ;;
  esac
  printf -v "$_name" '%s' "$2"
  shift 2
done
