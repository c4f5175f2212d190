"""Labs, model cards, engines, replicas and the router between them."""
