"""What a job costs, takes and burns on any chip, before it runs. Knows no owner, wire or ledger."""
