"""Random configurations and inputs for all estimators and transformers, and what must hold for each.

``python -m tests.fuzz --minutes 10 --seed 3`` tries as many as it can; a finding is printed as ``case(seed)``, which
``python -m tests.fuzz --case SEED`` runs alone.
"""
