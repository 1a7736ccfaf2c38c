#!/usr/bin/env bash
# Speed on one GPU: every measurement, at most 12 minutes together.
#
#   experiments/benchmarks/gpu.sh OUT            # on a machine with a GPU
#   DRY_RUN=1 experiments/benchmarks/gpu.sh OUT  # tiny, on a CPU: does it run?
#
# OUT gets PART.json, PART.md and PART.log of every part and summary.json: exit
# code and seconds of each. A part that takes longer than its share is stopped,
# and the others still run. PARTS="step_64 race" runs these alone.
set -uo pipefail
cd "$(dirname "$0")/../.."
OUT=$(realpath -m "${1:?the folder for the results}")
PYTHON=${PYTHON:-.venv/bin/python}
mkdir -p "$OUT"

if [ -n "${DRY_RUN:-}" ]; then
  export JAX_PLATFORMS=cpu
  size=16 width=4 small=4 large=8 people=8 race=20 repeats=1
  rows=8,16 at_once=1,2 growth=16 slack=6 quick=(--quick --cap_s=1)
else
  size=128 width=64 small=64 large=512 people=1000 race=1650 repeats=5
  rows=256,1024,2048,4096 at_once=1,8,32,64 growth=128 slack=1
  quick=(--cap_s=10)
fi
net=(--image_size=$size --width=$width --stem=imagenet --perturb_steps=5)

rows_of_summary=()
part() {  # NAME SECONDS MODULE FLAGS...
  local name=$1 most=$(($2 * slack)) module=$3 start=$SECONDS code
  shift 3
  [[ -z ${PARTS:-} || " $PARTS " == *" $name "* ]] || return 0
  timeout -k 10 "$most" "$PYTHON" -m "experiments.benchmarks.$module" \
      --out="$OUT/$name" "$@" >"$OUT/$name.log" 2>&1
  code=$?
  echo "$name: exit code $code, $((SECONDS - start)) s"
  rows_of_summary+=("{\"part\": \"$name\", \"exit_code\": $code, \"seconds\": $((SECONDS - start)), \"most\": $most}")
}
suite() {  # NAME SECONDS PART FLAGS...
  local name=$1 most=$2 what=$3
  shift 3
  part "$name" "$most" suite "${net[@]}" --parts="$what" \
      --repeats=$repeats --workdir="$OUT/work_$name" "$@"
}

# A distance step: of its convolutions, of a matrix product, over its parts.
suite step_64 70 step --batch_size=$small
suite step_512 80 step --batch_size=$large
# The same epoch by PyTorch and by us, by policy of checks.
part race 170 against_torch "${net[@]}" --batch_size=$small --people=$race \
    --repeats=$((repeats > 2 ? 2 : 1)) --workdir="$OUT/work_race"
# Checks and attacks: images a second by the rows of a call.
part evaluation 60 evaluation_rate --image_size=$size --width=$width \
    --people=$people --rows=$rows --repeats=$repeats
# What an epoch is spent on, and how steps grow with batch, image and forget set.
suite shares 80 share --batch_size=$small --people=$people
suite growth 100 scaling --image_size=$growth --batch_size=$small "${quick[@]}"
# Reference models at once.
part ensembles 140 ensembles --image_size=$((size < 32 ? 32 : size)) \
    --width=$width --at_once=$at_once --repeats=$repeats --limit_s=120

(IFS=,; echo "[${rows_of_summary[*]-}]") >"$OUT/summary.json"
