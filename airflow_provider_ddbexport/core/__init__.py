"""The engine: exports in, verified Parquet snapshots out.

Nothing here imports Airflow, and nothing here makes a client: callers hand in boto3 clients, so the same functions
serve an operator, a shell and a notebook.
"""
