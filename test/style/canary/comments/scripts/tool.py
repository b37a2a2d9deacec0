# SPDX-License-Identifier: Apache-2.0
"""Reads settings.json, which write_settings() writes."""
SETTINGS = "settings.json"  # see read_nothing
