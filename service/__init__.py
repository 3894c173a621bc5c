"""Lossatlas: the HTTP service, its ledger, its store and the pure domain they share."""
