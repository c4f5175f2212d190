"""Accounts, projects, principals and their credentials; knows no models and no chips."""
