"""Checks that the benchmarks run and that their output can be parsed.

  smoke.py COMPARE BUILD

compare runs with fake programs for Ebb and PyTorch, whose figures are known.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

compare, build = Path(sys.argv[1]), Path(sys.argv[2])
bench = build / "bench"
passed, failed = 0, 0


def check(what, holds, shown=""):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}: {shown}")


def run(*command, **environment):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})


# ---- train ----

KEYS = {"model", "mode", "batch", "threads", "img_s", "ms", "min_ms", "gflops", "peak_share", "rss_mb", "rss_import_mb", "isa"}
# Multiply-adds of an image's forward pass, in millions, as counted by hand.
LENET_MMACS = (28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10) / 1e6


def train(*arguments, **environment):
    done = run(bench / "train", *arguments, **environment)
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        check("train " + " ".join(arguments), False, done.stderr or done.stdout)
        return {}


for model in ("lenet", "kannnet", "ggmlnet", "resnet20", "plain20"):
    line = train(model, "--batch", "2", "--steps", "1", "--warm", "0")
    check(f"train {model} has every key", set(line) == KEYS, line)
    check(f"train {model} prints model, mode and batch", (line.get("model"), line.get("mode"), line.get("batch")) == (model, "train", 2), line)
    check(f"train {model} measured something", min(line.get(k, 0) for k in ("img_s", "ms", "rss_mb", "peak_share")) > 0, line)

line = train("lenet", "--steps", "3", "--warm", "1", "--threads", "1", "--infer", EBB_ISA="baseline")
check("--infer, --threads and EBB_ISA", (line.get("mode"), line.get("threads"), line.get("isa"), line.get("batch")) ==
      ("infer", 1, "baseline", 64), line)
operations = line.get("gflops", 0) * line.get("ms", 0) / 64 / 2
check("operations of LeNet", abs(operations / LENET_MMACS - 1) < 0.02, f"{operations} MMACs, expected {LENET_MMACS}")
line = train("gpt", "--batch", "3", "--steps", "2", "--warm", "1", "--context", "10", "--width", "24", "--layers", "1", "--heads", "3",
             "--vocabulary", "7")
check("train gpt with its sizes", (line.get("model"), line.get("batch")) == ("gpt", 3) and line.get("img_s", 0) > 0, line)
# Multiply-adds of the linear layers of a token: qkv, proj, up, down and head.
GPT_MACS = 12 * 24 * 24 + 24 * 7
operations = line.get("gflops", 0) * 1e6 * line.get("ms", 0) / 3 / 3 / 10 / 2
check("operations of gpt", abs(operations / GPT_MACS - 1) < 0.1, f"{operations} multiply-adds of a token, expected {GPT_MACS}")
for arguments in (["gpt", "--heads", "0"], ["gpt", "--width", "x"], [], ["lenet5"], ["lenet", "--steps", "0"], ["lenet", "--nonsense"], ["lenet", "more"]):
    done = run(bench / "train", *arguments)
    check(f"train refuses {arguments}", done.returncode == 2 and done.stderr and not done.stdout, done)

# ---- ops, overhead, subnormals ----

done = run(bench / "ops", "--filter", "LeNet", "--seconds", "0", "--threads", "1")
rows = [row for row in done.stdout.splitlines() if "FLOP/s" in row or "GB/s" in row][1:]
check("ops --filter LeNet", done.returncode == 0 and len(rows) == 11 and all("LeNet" in row for row in rows), done)
check("ops prints a time and a share", all(float(row.split()[-1]) >= 0 and float(row.split()[-4]) >= 0 for row in rows), rows)
done = run(bench / "ops", "--filter", "3>16", "--seconds", "0", "--isa", "baseline", "--cold")
check("ops --cold --isa", done.returncode == 0 and done.stdout.startswith("baseline") and "cold" in done.stdout, done)
check("ops refuses an unknown --isa", run(bench / "ops", "--isa", "z80").returncode == 2)
done = run(bench / "overhead")
check("overhead", done.returncode == 0 and float(done.stdout.split()[-1]) > 0, done)
done = run(bench / "subnormals", "16")
check("subnormals", done.returncode == 0 and done.stdout.count("ratio") == 4, done)
check("subnormals refuses a width of 0", run(bench / "subnormals", "0").returncode == 2)

# ---- parts ----

done = run(bench / "parts")
check("parts", done.returncode == 0 and done.stdout.count("backward") == 8, done)
done = run(bench / "parts", "--qkv")
check("parts --qkv", done.returncode == 0 and "gradient of slice" not in done.stdout and "slice_grad" not in done.stdout, done)
copies = done.stdout.split("cut into heads, then split")[-1].count("forward: dense")
check("parts --qkv: no copy forward", copies == 0, done)
check("parts refuses an argument", run(bench / "parts", "500").returncode == 2)

# ---- saving ----

with tempfile.TemporaryDirectory() as directory:
    done = run(bench / "saving", "--megabytes", "2", "--rounds", "2", "--path", f"{directory}/saving.safetensors")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    check("saving", done.returncode == 0 and len(lines) == 7 and lines[-1]["megabytes"] == 2 and
          min(lines[-1][k] for k in ("foreground_s", "stall_s", "busy_stall_s", "writing_s", "copy_s")) > 0, done)
    check("saving removes its file", os.listdir(directory) == [])
    done = run(bench / "saving", "--megabytes", "1", "--rounds", "1", "--path", f"{directory}/no/a")
    check("saving names the file that it cannot write", done.returncode == 1 and "no/a" in done.stderr, done)

# ---- output that cannot be written ----

if os.path.exists("/dev/full"):
    for command in (["train", "lenet", "--batch", "1", "--steps", "1", "--warm", "0"], ["ops", "--filter", "none"], ["overhead"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(bench / command[0]), *command[1:]], stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False)
        check(f"{command[0]} fails on a full disk", done.returncode == 1 and "No space left on device" in done.stderr, done)

# ---- compare, with fake programs ----

EBB = """#!/bin/sh
case "$*" in *--threads\\ 1*) ms=20;; *) ms=10;; esac
echo "{\\"model\\": \\"$1\\", \\"img_s\\": 3000, \\"ms\\": $ms, \\"min_ms\\": $ms, \\"gflops\\": 50, \\"peak_share\\": 0.5, \
\\"rss_mb\\": 30, \\"rss_import_mb\\": 5, \\"isa\\": \\"${EBB_ISA:-avx512}\\"}"
"""
# Twice as fast with channels last, and 1.5 times as fast with tuned malloc; PEER_MIN_MS=10 makes runs unsteady.
PEER = """#!/bin/sh
speed=500; rm=; last=false
case "$*" in *--channels-last*) speed=1000;; esac
[ -z "$MALLOC_TOP_PAD_" ] || speed=$((speed * 3 / 2))
[ "${DNNL_MAX_CPU_ISA:-}" != AVX2 ] || speed=$((speed * 2))
echo "{\\"img_s\\": $speed, \\"ms\\": 20, \\"min_ms\\": ${PEER_MIN_MS:-20}, \\"rss_mb\\": 250, \\"rss_import_mb\\": 150}"
"""


def stand_in(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


with tempfile.TemporaryDirectory() as directory:
    room = Path(directory)
    stand_in(room / "build/bench/train", EBB)
    stand_in(room / "peer/torch_speed.py", PEER)
    has_chart = (bench / "chart").exists()
    if has_chart:
        shutil.copy(bench / "chart", room / "build/bench/chart")

    def compared(*arguments, patience="0", **environment):
        out = room / "out"
        shutil.rmtree(out, ignore_errors=True)
        ran = run(compare, "--build", room / "build", "--out", out, "--rounds", "2", "--patience", patience, *arguments,
                  **environment)
        check(f"compare {' '.join(map(str, arguments))}", ran.returncode == 0, ran)
        report = json.loads((out / "compare.json").read_text()) if (out / "compare.json").exists() else {"rows": [{}]}
        return ran, report, out

    ran, report, out = compared("--models", "lenet,resnet18", "--peer", room / "peer")
    lenet = report["rows"][0]
    check("a network is measured in each of its modes", [row.get("mode") for row in report["rows"]] ==
          ["training", "training", "inference", "inference"], report)
    check("the fastest setting is chosen", lenet.get("pytorch", {}).get("setting") == "channels last, tuned malloc", lenet)
    check("the ratio of speed", abs(lenet.get("ratio", 0) - 2) < 1e-9, lenet)
    check("the ratio of memory", abs(lenet.get("memory_ratio", 0) - 0.3) < 1e-9, lenet)
    check("the ratio of memory minus import", abs(lenet.get("model_memory_ratio", 0) - 0.25) < 1e-9, lenet)
    check("steady runs are not marked", lenet.get("disturbed") is False and "*" not in ran.stdout, ran.stdout)
    check("the report has every run", [len(lenet["runs"][k]) for k in ("ebb", "pytorch")] == [2, 2], lenet)
    check("the table", "| LeNet-5 | training | 64 | 3,000 | 1,500 | 2.00" in ran.stdout, ran.stdout)
    check("compare.md equals the printed table", (out / "compare.md").read_text() == ran.stdout, ran.stdout)
    if has_chart:
        check("the chart is a PNG", (out / "compare.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n")

    ran, report, _ = compared("--models", "lenet", "--peer", room / "peer", PEER_MIN_MS="10")
    check("unsteady runs are marked", report["rows"][0].get("disturbed") is True and "2.00 *" in ran.stdout, ran.stdout)
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    ran, report, _ = compared("--models", "lenet", patience="0.1")
    neighbour.kill()
    neighbour.wait()
    check("runs beside a busy process are marked", report["rows"][0].get("disturbed") is True, ran.stdout)
    ran, report, _ = compared("--models", "resnet20", "--peer", room / "peer", "--isa", "avx2")
    check("--isa applies to both programs", report["isa"] == "avx2" and abs(report["rows"][0].get("ratio", 0) - 1) < 1e-9, report)
    check("--isa avx2 has its own wanted ratio", report["rows"][0].get("wanted") == 1.2, report)
    ran, report, _ = compared("--models", "none", "--busy", "--scaling")
    check("--scaling", report.get("scaling", {}).get("ratio") == 2, report)
    check("--busy", report.get("busy", {}).get("ratio") == 1, report)
    ran, report, _ = compared("--models", "lenet", "--peer", room)
    check("without torch_speed.py, Ebb alone is measured", "Ebb alone" in ran.stderr and "pytorch" not in report["rows"][0], ran)
    stand_in(room / "peer/torch_speed.py", "#!/bin/sh\necho \"No module named 'torch'\" >&2; exit 1\n")
    ran, report, _ = compared("--models", "lenet", "--peer", room / "peer")
    check("without PyTorch, Ebb alone is measured", "python3-torch" in ran.stderr and "pytorch" not in report["rows"][0], ran)
    check("an unknown model is refused", run(compare, "--models", "lenot").returncode == 2)
    if has_chart:
        (room / "bad.tsv").write_text("title\tsubtitle\nlabel\tdetail\tnan\t0\tnote\n")
        done = run(bench / "chart", room / "bad.tsv", room / "bad.png")
        check("chart refuses a ratio that is not a number", done.returncode == 1 and "bad.tsv" in done.stderr, done)

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
