"""From a question in YAML to a table: plan, launch, ledger, compare, report."""
