"""Files of runs and their points at full resolution, written in bounded memory.

A file of points has a row per point. An export of a project is a folder:

    export.json                  what it is an export of, when it was made, and what it holds
    runs.parquet                 a row per run, with a column per param, tag, summary entry and latest metric
    metrics/part-00001.parquet   a row per point: run_id, key, rank, step, time, value
    metrics/part-00002.parquet   ...

so that `SELECT * FROM 'digits/runs.parquet' JOIN 'digits/metrics/*.parquet' USING (run_id)` is all there is to know.

`points` and `runs` write files, `folder` owns the folder and what is done of it, `files` replaces files whole. What is read
from the server, and in which order, is in `penstock.client._async.export`.
"""
