"""Trains a small run, killed and resumed, and reads its events with TensorBoard's own reader: read_events.py TRAINEE FOLDER."""
import json
import pathlib
import subprocess
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

trainee, folder = sys.argv[1], pathlib.Path(sys.argv[2])
subprocess.run(["rm", "-rf", folder], check=True)
subprocess.run([trainee, folder, "cass", "kill_step=11", "every=4"])  # dies after the checkpoint of step 8
subprocess.run([trainee, folder, "cass", "resume=1", "every=4"], check=True)

log = {line["step"]: line for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines())}
events = EventAccumulator(str(folder / "tensorboard"))
events.Reload()
for tag, key in (("loss", "loss"), ("learning_rate", "learning_rate"), ("gradient_norm", "gradient_norm")):
    read = {event.step: event.value for event in events.Scalars(tag)}
    assert sorted(read) == list(range(1, 19)), (tag, sorted(read))
    for step, value in read.items():
        assert abs(value - log[step][key]) <= 1e-6 * abs(value), (tag, step, value, log[step][key])
print(f"TensorBoard reads {len(events.Tags()['scalars'])} tags of {len(log)} steps")
