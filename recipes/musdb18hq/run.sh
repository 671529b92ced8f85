#!/usr/bin/env bash
# Band-Split RNN on MUSDB18-HQ. Example usage:
#   ./run.sh --stage 0 --demo true                         # the whole path on a 6-second excerpt, minutes on a CPU
#   ./run.sh --stage 0 --musdb_root /data/musdb18hq        # everything, the base model of the paper
#   ./run.sh --stage 2 --variant optimized --tag opt       # train another row (or go on with an interrupted one)
#   ./run.sh --stage 3 --tag opt --variant optimized --inference ola_reference --segment 3 --hop 1.5
if [ -z "${BASH_VERSION:-}" ]; then
  echo "run.sh needs bash: call it as ./run.sh, or as bash run.sh" >&2
  exit 2
fi
set -e
set -o pipefail
_recipe=$(dirname "$(readlink -f "$0")")

stage=0              # first stage: 0 data, 1 segment lists, 2 training, 3 evaluation, 4 report
stop_stage=4         # last stage
variant=base         # a file in local/variants, without .yml
source=all           # all, one source, or several with commas
tag=                 # folder in exp/; made from variant, demo and seed when empty
demo=                # true: real 6-s excerpt; synth: rendered songs; musdb7: 7 s of every MUSDB18 song, fetched (147 MB)
musdb_root=          # folder with train/ and test/, when not data/musdb18hq
download=false       # true: stage 0 fetches MUSDB18-HQ (22.7 GB)
protocol=published   # published, corrected or controlled
seed=                # of training; the configuration's when empty
id=${CUDA_VISIBLE_DEVICES:-} # GPUs to use, e.g. 0,1
python_path=python   # python with asteroid_bsrnn
inference=           # stage 3: fader, fader_reference, ola, ola_reference, trim or whole, when not the configuration's
segment=             # stage 3: segment in seconds
hop=                 # stage 3: hop in seconds, for ola
set=                 # configuration values: "section.key=value section.key=value"
repeat=              # run.json of an earlier run: trains exactly that again
resume_with=         # on resume: "training.patience=30 training.epochs=300 optim.lr=0.0005"
. "$_recipe/utils/parse_options.sh"

musdb_root=$(_absolute "$musdb_root")
repeat=$(_absolute "$repeat")
case "$variant" in *.yml) variant=$(_absolute "$variant") ;; esac
case "$python_path" in */*) python_path=$(_absolute "$python_path") ;; esac
cd "$_recipe"

case "$demo" in
  "" | false) demo="" overlay="" ;;
  true) overlay=local/demo.yml ;;
  synth) overlay=local/demo_synth.yml ;;
  musdb7) overlay=local/demo_musdb7.yml download=true ;;
  *) _fail "option --demo is true, synth, musdb7 or false, got '$demo'" ;;
esac
for number in "$stage" "$stop_stage"; do
  [[ $number =~ ^[0-4]$ ]] || _fail "stages are 0 to 4, got '$number'"
done
if [ -z "$tag" ]; then
  tag=$(basename "$variant" .yml)
  [ -z "$demo" ] || tag=${tag}_demo_$demo
  [ "$protocol" = published ] || tag=${tag}_$protocol
  [ -z "$seed" ] || tag=${tag}_seed$seed
fi
expdir=exp/$tag
export CUDA_VISIBLE_DEVICES=$id
[ -n "$id" ] || unset CUDA_VISIBLE_DEVICES

conf=(--variant "$variant" --protocol "$protocol")
[ -z "$overlay" ] || conf+=(--demo --overlay "$overlay")
[ -z "$seed" ] || conf+=(--seed "$seed")
[ -z "$set" ] || conf+=(--set "$set")
[ -z "$musdb_root" ] || conf+=(--place "data.root=$musdb_root")

run_stage() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

if run_stage 0; then
  echo "Stage 0: data"
  "$python_path" local/prepare.py --what data --download "$download" --exp_dir "$expdir" "${conf[@]}"
fi

if run_stage 1; then
  echo "Stage 1: segment lists"
  "$python_path" local/prepare.py --what lists --exp_dir "$expdir" "${conf[@]}"
fi

if run_stage 2; then
  echo "Stage 2: training into $expdir"
  "$python_path" train.py --exp_dir "$expdir" --source "$source" --repeat "$repeat" --resume_with "$resume_with" "${conf[@]}"
fi

if run_stage 3; then
  echo "Stage 3: evaluation of $expdir"
  "$python_path" eval.py --exp_dir "$expdir" --inference "$inference" --segment "$segment" --hop "$hop" --musdb_root "$musdb_root"
fi

if run_stage 4; then
  echo "Stage 4: report on $expdir"
  "$python_path" -m asteroid_bsrnn report "$expdir" -o "$expdir/report"
fi
