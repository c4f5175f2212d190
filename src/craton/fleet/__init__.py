"""What the operator has, who may use it when, and what runs on it: sites, pools, blocks, leases."""
