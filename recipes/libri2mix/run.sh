#!/usr/bin/env bash
# Speech separation on Libri2Mix. Example usage:
#   ./run.sh --stage 0 --demo true                          # the whole path on synthetic voices, minutes on a CPU
#   ./run.sh --stage 0 --demo real --download true          # the same on real voices (Mini LibriSpeech, 459 MB)
#   ./run.sh --stage 0 --librispeech_dir /data/LibriSpeech   # everything: A-FRCNN-16
#   ./run.sh --stage 2 --variant a_dprnn --tag a_dprnn      # train another system (or go on with an interrupted one)
#   ./run.sh --stage 0 --librispeech_dir /data/LibriSpeech --set "data.storage=on_the_fly"  # store no mixtures
if [ -z "${BASH_VERSION:-}" ]; then
  echo "run.sh needs bash: call it as ./run.sh, or as bash run.sh" >&2
  exit 2
fi
set -e
set -o pipefail
_recipe=$(dirname "$(readlink -f "$0")")

stage=0              # first stage: 0 data, 1 mixtures and their metadata, 2 training, 3 evaluation, 4 report
stop_stage=4         # last stage
variant=afrcnn_16    # a file in recipes/speech/variants (or local/variants), without .yml
tag=                 # folder in exp/; made from variant, demo and seed when empty
demo=                # true: synthetic voices, made on the spot; real: voices of LibriSpeech; changes paths and sizes only
librispeech_root=    # with --demo real: any folder in LibriSpeech's layout, when not data/LibriSpeech
download=false       # true: fetch Mini LibriSpeech (459 MB) for --demo real when there are no voices
librispeech_dir=     # LibriSpeech's folder with train-clean-100, dev-clean and test-clean, when not data/LibriSpeech
metadata_dir=        # folder with LibriMix' metadata; cloned from their public repository when empty
storage_dir=         # where mixtures are written, when not data
allow_missing=false  # true: leave out mixtures whose files are missing or broken, and list them
scores=              # optional scores of stage 3: "stoi estoi pesq"
seed=                # of training; the configuration's when empty
id=${CUDA_VISIBLE_DEVICES:-} # GPUs to use, e.g. 0,1
python_path=python   # python with asteroid_bsrnn
set=                 # configuration values: "section.key=value section.key=value"
repeat=              # run.json of an earlier run: trains exactly that again
resume_with=         # on resume: "training.patience=40 training.epochs=300 optim.lr=0.0005"
. "$_recipe/utils/parse_options.sh"

librispeech_dir=$(_absolute "$librispeech_dir")
librispeech_root=$(_absolute "$librispeech_root")
metadata_dir=$(_absolute "$metadata_dir")
storage_dir=$(_absolute "$storage_dir")
repeat=$(_absolute "$repeat")
case "$variant" in *.yml) variant=$(_absolute "$variant") ;; esac
case "$python_path" in */*) python_path=$(_absolute "$python_path") ;; esac
cd "$_recipe"

for number in "$stage" "$stop_stage"; do
  [[ $number =~ ^[0-4]$ ]] || _fail "stages are 0 to 4, got '$number'"
done
case "$demo" in
  "" | false) demo="" ;;
  true) sizes=local/demo.yml ;;
  real) sizes=local/demo_real.yml ;;
  *) _fail "option --demo is true, real or false, got '$demo'" ;;
esac
if [ -z "$tag" ]; then
  tag=$(basename "$variant" .yml)
  [ "$demo" != true ] || tag=${tag}_demo
  [ "$demo" != real ] || tag=${tag}_real
  [ -z "$seed" ] || tag=${tag}_seed$seed
fi
expdir=exp/$tag
export CUDA_VISIBLE_DEVICES=$id
[ -n "$id" ] || unset CUDA_VISIBLE_DEVICES

conf=(--variant "$variant")
if [ -n "$demo" ]; then
  conf+=(--demo --overlay "$sizes")
fi
[ -z "$seed" ] || conf+=(--seed "$seed")
places=()
[ "$allow_missing" = false ] || places+=(--place data.allow_missing=true)
[ -z "$librispeech_dir" ] || places+=(--place "data.speech_dir=$librispeech_dir")
[ -z "$librispeech_root" ] || places+=(--place "data.speech_dir=$librispeech_root")
[ -z "$metadata_dir" ] || places+=(--place "data.metadata_dir=$metadata_dir")
[ -z "$storage_dir" ] || places+=(--place "data.storage_dir=$storage_dir")
[ -z "$set" ] || conf+=(--set "$set")
conf+=(${places[@]+"${places[@]}"})

run_stage() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

if run_stage 0; then
  echo "Stage 0: data"
  "$python_path" local/prepare.py --what data --download "$download" --exp_dir "$expdir" "${conf[@]}"
fi

if run_stage 1; then
  echo "Stage 1: mixtures"
  "$python_path" local/prepare.py --what mixtures --exp_dir "$expdir" "${conf[@]}"
fi

if run_stage 2; then
  echo "Stage 2: training into $expdir"
  "$python_path" train.py --exp_dir "$expdir" --repeat "$repeat" --resume_with "$resume_with" "${conf[@]}"
fi

if run_stage 3; then
  echo "Stage 3: evaluation of $expdir"
  "$python_path" eval.py --exp_dir "$expdir" --scores $scores ${places[@]+"${places[@]}"}
fi

if run_stage 4; then
  echo "Stage 4: report on $expdir"
  "$python_path" -m asteroid_bsrnn report "$expdir" -o "$expdir/report"
fi
