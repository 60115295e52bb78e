from personascope.instruments.facets import DOMAIN_OF, DOMAINS, FACETS, INTERSTITIAL


def test_six_domains_of_four_facets_and_one_between_them_make_25():
    assert [len(facets) for _, facets in DOMAINS.values()] == [4] * 6
    assert "".join(DOMAINS) == "HEXACO"
    assert len(set(FACETS)) == len(FACETS) == 25
    assert INTERSTITIAL == ("altruism",)


def test_every_facet_knows_its_domain_and_altruism_has_none():
    for domain, (_, facets) in DOMAINS.items():
        assert {DOMAIN_OF[facet] for facet in facets} == {domain}
    assert DOMAIN_OF["altruism"] is None
    assert DOMAIN_OF["expressiveness"] == "X" and "expressiveness" not in FACETS
