"""The structure of HEXACO: six domains of four facets, and Altruism between them.

Source: Lee & Ashton (2018), "Psychometric properties of the HEXACO-100", Assessment 25, 543-556. Altruism loads on
three domains and belongs to none, so no domain score contains it.
"""

from __future__ import annotations

DOMAINS: dict[str, tuple[str, tuple[str, ...]]] = {
    "H": ("Honesty-Humility", ("sincerity", "fairness", "greed_avoidance", "modesty")),
    "E": ("Emotionality", ("fearfulness", "anxiety", "dependence", "sentimentality")),
    "X": ("Extraversion", ("social_self_esteem", "social_boldness", "sociability", "liveliness")),
    "A": ("Agreeableness", ("forgivingness", "gentleness", "flexibility", "patience")),
    "C": ("Conscientiousness", ("organization", "diligence", "perfectionism", "prudence")),
    "O": ("Openness", ("aesthetic_appreciation", "inquisitiveness", "creativity", "unconventionality")),
}
INTERSTITIAL = ("altruism",)
DOMAIN_OF: dict[str, str | None] = {facet: domain for domain, (_, facets) in DOMAINS.items() for facet in facets}
DOMAIN_OF.update(dict.fromkeys(INTERSTITIAL, None))
FACETS: tuple[str, ...] = tuple(DOMAIN_OF)
"""The 25 facets of the revised inventory."""
DOMAIN_OF["expressiveness"] = "X"  # of the first HEXACO-PI (2004), kept by IPIP-HEXACO; Social Self-Esteem replaced it
