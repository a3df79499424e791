"""MLflow as a view of local files: it can be made again from them at any time, and nothing waits for it.

Every command that works declares the runs to be shown (`declare`), each a small JSON file in its folder of work (`run`). A
thread of its own reads what the work has left on disk and sends what the store lacks (`sync`, `store`), while jobs run and once
at the end. A store that is new, empty or another one is filled completely; a store that is up to date gets nothing twice.
"""
