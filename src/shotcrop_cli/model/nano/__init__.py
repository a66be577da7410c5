"""The compact model at run time.

A detector (`detector`, `decoding`) finds people and things (`scene`). A small network (`composer`) chooses among
people, pairs and groups (`candidates`) and proposes three boxes for each. A search (`refinement`) moves their edges
away from faults (`facts`, `faults`). `reasoning` reports what was found.
"""
