"""The spool: what a run logged, as files that outlive the process that wrote them.

Owns the format on disk and who may touch which file. Knows nothing of the network: the training process imports this
package, and no gRPC.

A spool is one folder, `home()/spool/<run id>/<writer id>/`, mode 0700, its files 0600:

| file | written by | holds |
| --- | --- | --- |
| `meta.json` | writer, once | run, writer, project, rank, start time: `penstock.spool.meta` |
| `00000001.log`, ... | writer | segments of records, append-only: `penstock.spool.records` |
| `orders/` | both | what goes to other calls than the stream: `penstock.spool.orders` |
| `console.log` | writer | what the process printed, if that is kept: `penstock.spool.console` |
| `console.sent` | sender | how much of it is on the server |
| `reserve` | writer | 64 KiB of nothing, given up for the last words on a full disk |
| `owner.lock` | writer | a lock for as long as the writing process lives: `penstock.spool.locks` |
| `connection.json` | writer | address and token for the sender, which gets them neither by argument nor environment |
| `sender.lock` | sender | a lock for as long as a sender reads the spool |
| `epoch` | sender | how many senders there were: the lease of the one at work |
| `heartbeat` | sender | when it last told the server that the training process lives |
| `cuts` | sender | which records went into which batch: `penstock.spool.cuts` |
| `status.json` | sender | what the sender is doing, or why it stopped |
| `sender.log` | sender | its messages |

Once everything is durable on the server and the run has ended, the sender writes `receipt.json`, copies it to
`home()/receipts/<run id>.<writer id>.json` and removes the folder.

Durable when: a record is in the file when `append` returns, so it survives the death of any process. The sender flushes
to the medium at least once a second and always before it sends, so a power failure costs at most the last second.
"""
