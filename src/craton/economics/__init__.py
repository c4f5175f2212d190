"""Meters, prices and the double-entry ledger; knows accounts and quantities, never models."""
