"""Hours of changes, backups, prunes, verifies, restores and faults, watched and then judged.

`run` drives it over a `world` of its own: `activities` says what happens how often, `faults` what
goes wrong, `judgement` which ends of a run that explains. `monitor` and `events` write what
happened; `analysis` reads it and gives the verdict, `report` and `page` show it.
"""
