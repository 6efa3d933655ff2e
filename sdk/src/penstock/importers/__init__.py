"""Imports runs from other tools: MLflow, W&B offline folders, TensorBoard log folders, exports of Neptune.

A *source* (one module each) lists its runs and reads them into `SourceRun`: what a run says of itself, and its points as
*parts*. A part is what only ever grows: a file of events, or the points of one metric. `penstock.importers.upload` gives each
run an id and each part a writer id, both derived from what identifies them in the source, and streams the rows that are not
durable yet. How much of a part is durable, the server keeps together with the points. So nothing needs to be remembered on
this machine: an import that is killed is resumed by running it again, one that is repeated adds nothing, and a run that grew
is continued. Two imports of the same run at once do no harm either: of two batches with the same sequence the server refuses
the second, and its sender looks anew where the part stands.

The formats are read here, without the tools' own libraries, except for Parquet. Files are never written to, and nothing in
them is executed or unpickled. The reasons, source by source, are in the modules.

| module | reads |
| --- | --- |
| `penstock.importers.mlflow` | a folder `mlruns`, an SQLite database, a tracking server |
| `penstock.importers.wandb` | `offline-run-*/run-*.wandb`, and the artifacts that W&B staged |
| `penstock.importers.tensorboard` | `events.out.tfevents.*` |
| `penstock.importers.neptune` | the Parquet files of Neptune's exporter |
"""
