package consent

// koreanRegister are the messages of policy versions, of recipients' changes,
// and of anonymised disclosures, which are of no member.
var koreanRegister = map[string]string{
	// Versions.
	"a ledger has one controller; use the name that its other policies have, or another ledger":                         "원장 하나에는 개인정보처리자가 하나입니다. 다른 방침과 같은 이름을 쓰거나 다른 원장을 쓰십시오.",
	"a ledger has one calendar; use the time zone that its other policies have":                                         "원장 하나에는 달력이 하나입니다. 다른 방침과 같은 시간대를 쓰십시오.",
	"a class keeps its period; give the new period to a class with a new name and let purposes name that":               "구분의 기간은 바뀌지 않습니다. 새 기간은 새 이름의 구분에 주고 목적이 그 구분을 쓰게 하십시오.",
	"the version is in the register and never changes; give a change a new version":                                     "이미 등록된 버전이며 바꿀 수 없습니다. 바뀐 내용에는 새 버전을 붙이십시오.",
	"a version must take effect after every version that is in the register; give it a later date":                      "버전은 등록된 모든 버전보다 나중에 시행해야 합니다. 더 늦은 날짜를 적으십시오.",
	"missing; add the date on which members were or will be told of the change":                                         "빠져 있습니다. 회원에게 변경을 알렸거나 알릴 날짜를 적으십시오.",
	"missing; add why the policy changes":                                                                               "빠져 있습니다. 방침이 바뀌는 이유를 적으십시오.",
	"the policy in force promises %d days of notice from announcement and posting; the earliest date is %04d-%02d-%02d": "시행 중인 방침은 공지와 등록 후 %d일의 예고 기간을 약속합니다. 가장 이른 날짜는 %04d-%02d-%02d입니다.",

	// Recipients.
	"the policy has no such recipient; see GET /v1/recipients":                                                                              "방침에 없는 recipient입니다. GET /v1/recipients에서 확인하십시오.",
	"missing; add why the recipient changes":                                                                                                "빠져 있습니다. 제공받는 자가 바뀌는 이유를 적으십시오.",
	"missing; add the day from which the change applies":                                                                                    "빠져 있습니다. 변경이 적용되는 날짜를 적으십시오.",
	"a change is announced on or before the day from which it applies":                                                                      "변경은 적용일이나 그 전에 공지해야 합니다.",
	"must be one of processor, third_party, authority":                                                                                      "processor, third_party, authority 중 하나여야 합니다.",
	"the change holds more than an entry can; name fewer items or purposes":                                                                 "기록 한 건에 담을 수 없습니다. 항목이나 목적을 줄이십시오.",
	"nothing is changed for the past; the earliest date is that of today":                                                                   "지난 날짜로 바꿀 수 없습니다. 가장 이른 날짜는 오늘입니다.",
	"the id stands for another recipient (name, kind or country), and consents name ids; use a new id, or post a new version of the policy": "이 id는 이름, 종류 또는 국가가 다른 곳을 가리키고 있으며, 동의는 id를 가리킵니다. 새 id를 쓰거나 방침의 새 버전을 등록하십시오.",
	"members were told otherwise of this recipient's business, purposes or items; post a new version of the policy, which asks them again":  "회원에게 알린 이 제공받는 자의 업무, 목적 또는 항목과 다릅니다. 방침의 새 버전을 등록해 동의를 다시 받으십시오.",

	// Anonymised disclosures.
	"must be anonymised where there is no member":                                                          "회원이 없는 제공의 form은 anonymised여야 합니다.",
	"an anonymised disclosure is about no order or event; leave reference out":                             "익명 제공은 어떤 주문이나 이벤트에 관한 것이 아닙니다. reference를 빼십시오.",
	"name the exemption of the policy, one with anonymised: true, that an anonymised disclosure rests on":  "익명 제공의 근거가 되는, anonymised: true인 방침의 예외를 basis로 밝히십시오.",
	"the exemption is for data about members; an anonymised disclosure rests on one with anonymised: true": "회원에 관한 정보를 위한 예외입니다. 익명 제공은 anonymised: true인 예외에 근거해야 합니다.",
	"several policies in force state the purpose; write policy/purpose":                                    "시행 중인 여러 방침에 같은 목적이 있습니다. policy/purpose로 적으십시오.",
}
