package consent

import "strings"

// The places of DPV's vocabulary LOC, version 2.3: the countries of ISO 3166-1
// and the European Union, and of the regions of ISO 3166-2, of which it has
// thousands, those of the country whose states have privacy laws of their own.
const (
	places = " " +
		"AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL " +
		"BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV " +
		"CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET EU FI FJ FK FM FO FR GA GB " +
		"GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL " +
		"IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI " +
		"LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV " +
		"MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN " +
		"PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR " +
		"SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US " +
		"UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW "
	placesUS = " " +
		"AK AL AR AS AZ CA CO CT DC DE FL GA GU HI IA ID IL IN KS KY LA MA MD ME MI MN " +
		"MO MP MS MT NC ND NE NH NJ NM NV NY OH OK OR PA PR RI SC SD TN TX UM UT VA VI " +
		"VT WA WI WV WY "
)

// isPlace reports whether DPV's vocabulary of places has the code: KR, EU, US-CA.
func isPlace(code string) bool {
	if state, ok := strings.CutPrefix(code, "US-"); ok {
		return len(state) == 2 && strings.Contains(placesUS, " "+state+" ")
	}
	return len(code) == 2 && strings.Contains(places, " "+code+" ")
}
