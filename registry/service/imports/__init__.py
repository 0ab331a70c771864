"""Imports: tables of identifiers, registered row by row by a job that outlives its client and any kill.

From bytes to commits, each file one stage:

    blobs      the uploaded file, streamed to a content-addressed, synced file
    encoding   UTF-8 or GB 18030, from all of its bytes
    lines      bytes to physical lines with byte offsets                       (no I/O)
    header     the first row of a CSV: what each column is                     (no I/O)
    csv_rows   lines to rows of a CSV (RFC 4180)                               (no I/O)
    ndjson     lines to rows, each a JSON document                             (no I/O)
    tables     either of them, opened at an offset
    pieces     where a file is cut, so that several can work on it
    chunks     a piece to a plan: what one commit takes                        (no I/O but the view)
    planners   who plans: this process, or others beside it
    lookahead  chunks in order, planned before they are due
    results    the outcome of every row, appended before the commit that counts it
    run        one job: chunk after chunk to the committer, with the cursor behind it
    runner     the jobs: queued, running, resumed
    jobs       the use cases: submit, find, show, list

The one hard idea: the cursor of a job (rows done, offset of the next row, length of the result file) is a row of the very
change that holds the records. So wherever a process is killed, the next one begins at a row boundary, and every row
happens once.

The second: rows are planned in any order, in several processes (`planning`, `planning_process`, `talk`), and happen in one.
A plan is a guess about the view at its turn; where an earlier chunk touched what it rests on, it is made again.
"""
