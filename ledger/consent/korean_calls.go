package consent

// koreanCalls are the messages of consents, withdrawals, corrections,
// disclosures and looks, and of the keys that their entries need. Names of
// fields and codes stay as they are sent.
var koreanCalls = map[string]string{
	// Who it is about.
	"there is no such member; a first consent says enrol: true": "등록된 회원이 아닙니다. 첫 동의에는 enrol: true를 함께 보내십시오.",
	"there is no such member":                                   "등록된 회원이 아닙니다.",

	// Consents: which version, which kind of member.
	"no such policy; see GET /v1/policies":                                                                    "그런 방침이 없습니다. GET /v1/policies에서 확인하십시오.",
	"no such version; see GET /v1/policies":                                                                   "그런 버전이 없습니다. GET /v1/policies에서 확인하십시오.",
	"the version is not the one in force; show the member the one that is, and send its version":              "현재 시행 중인 버전이 아닙니다. 시행 중인 버전을 회원에게 보여 주고 그 버전을 보내십시오.",
	"the policy has several kinds of members; say which":                                                      "방침에 회원 종류가 여럿입니다. member_kind로 어느 것인지 밝히십시오.",
	"no such kind of member in the policy; see its member_kinds":                                              "방침에 없는 회원 종류입니다. 방침의 member_kinds를 확인하십시오.",
	"a consent holds at least one decision":                                                                   "동의에는 결정이 하나 이상 있어야 합니다. decisions를 채우십시오.",
	"the call holds more than an entry of 60,000 bytes can; split it into several calls or shorten its texts": "기록 한 건에 담을 수 있는 60,000바이트를 넘습니다. 여러 번에 나누어 보내거나 글을 줄이십시오.",

	// How, when and in which language.
	"say how the consent was given, such as button, checkbox, paper or phone":                        "동의를 받은 방법을 method로 밝히십시오. 예: button, checkbox, paper, phone.",
	"a method is a name of 1 to 64 of a-z, 0-9, _ and -, with a letter":                              "method는 a-z, 0-9, _, -로 된 1~64자의 이름이며 영문자가 하나 이상 있어야 합니다.",
	"nobody consents by doing nothing or by a browser's signal; record only what the member decided": "아무것도 하지 않은 것이나 브라우저의 신호는 동의가 아닙니다. 회원이 직접 정한 것만 기록하십시오.",
	"say when the member decided":                                                                                                  "회원이 결정한 시각을 occurred_at으로 보내십시오.",
	"is more than five minutes ahead; check the clock of the sender":                                                               "현재보다 5분 넘게 앞선 시각입니다. 보내는 쪽의 시계를 확인하십시오.",
	"a decision is about now or a time that is past; leave at out":                                                                 "결정은 현재나 지난 시각에 대해서만 물을 수 있습니다. at을 빼십시오.",
	"say in which language the text was shown, such as en or ko":                                                                   "어느 언어로 보여 주었는지 locale로 밝히십시오. 예: en, ko.",
	"a reference has 1 to 256 bytes of visible text":                                                                               "reference는 눈에 보이는 글자로 된 1~256바이트여야 합니다.",
	"must be the SHA-256 of what was shown: 64 hexadecimal digits":                                                                 "보여 준 글의 SHA-256이어야 합니다. 16진수 64자리를 보내십시오.",
	"the policy has no text in that language; send shown_digest, the SHA-256 of what was shown, or a language that the policy has": "방침에 그 언어의 글이 없습니다. 보여 준 글의 SHA-256을 shown_digest로 보내거나 방침에 있는 언어를 보내십시오.",
	"must be a language by BCP 47, such as en, ko or zh-Hant":                                                                      "BCP 47에 따른 언어여야 합니다. 예: en, ko, zh-Hant.",

	// Age and guardians.
	"must be a date of birth, not in the future":                                                                  "미래가 아닌 생년월일이어야 합니다.",
	"the policy does not accept members of that age; keep nothing of them":                                        "방침상 받을 수 없는 나이입니다. 이 사람의 정보를 남기지 마십시오.",
	"a member of that age needs a guardian's verified consent":                                                    "이 나이의 회원은 확인된 법정대리인의 동의가 필요합니다. guardian을 보내십시오.",
	"the member enrolled with a guardian's consent; send guardian, or birth_date if the member is old enough now": "법정대리인의 동의로 가입한 회원입니다. guardian을 보내거나, 이제 나이가 되었으면 birth_date를 보내십시오.",
	"the policy has a minimum age; send birth_date (it is not recorded) or minimum_age_confirmed: true":           "방침에 최소 연령이 있습니다. birth_date(기록하지 않음)나 minimum_age_confirmed: true를 보내십시오.",
	"the policy does not accept members under age; leave guardian out":                                            "방침상 최소 연령 미만의 회원을 받지 않습니다. guardian을 빼십시오.",
	"name where the proof is kept, in 1 to 256 bytes; never a person's name":                                      "증빙을 보관한 곳을 1~256바이트로 적으십시오. 사람의 이름은 적지 마십시오.",
	"say how the guardian was verified, a name of 1 to 64 of a-z, 0-9, _ and -":                                   "법정대리인을 확인한 방법을 a-z, 0-9, _, -로 된 1~64자의 이름으로 밝히십시오.",
	"say when the guardian was verified; it cannot be ahead of now":                                               "법정대리인을 확인한 시각을 보내십시오. 현재보다 앞설 수 없습니다.",

	// Decisions.
	"the policy version states no such purpose; see its purposes":                                                  "이 버전의 방침에 없는 목적입니다. 방침의 purposes를 확인하십시오.",
	"the purpose is decided twice; send one decision a purpose":                                                    "같은 목적에 대한 결정이 두 번 있습니다. 목적마다 하나만 보내십시오.",
	"the purpose is not for this kind of member; see its member_kinds":                                             "이 회원 종류에는 해당하지 않는 목적입니다. 그 목적의 member_kinds를 확인하십시오.",
	"the purpose rests on a contract or a legal duty, not on consent; it cannot be refused, only left out":         "동의가 아니라 계약이나 법적 의무에 근거한 목적입니다. 거부로 보낼 수 없으니 빼고 보내십시오.",
	"a refusal is of the whole purpose; to refuse optional items grant the purpose without them, or withdraw them": "거부는 목적 전체에 대한 것입니다. 선택 항목만 거부하려면 그 항목을 빼고 동의를 보내거나 그 항목을 철회하십시오.",
	"the class of a purpose in this call ends by an event; name the order or event with reference":                 "이 요청에 있는 목적의 보유 구분은 주문이나 이벤트가 끝날 때까지입니다. 그 주문이나 이벤트를 reference로 밝히십시오.",
	"the item is there twice; remove one":                                                                          "같은 항목이 두 번 있습니다. 하나를 빼십시오.",
	"the policy prohibits the item; do not collect it":                                                             "방침이 금지한 항목입니다. 수집하지 마십시오.",
	"a sensitive item is granted only under a purpose of kind sensitive; send a decision of its own":               "민감정보는 kind가 sensitive인 목적에서만 동의받을 수 있습니다. 별도의 결정으로 보내십시오.",
	"a unique identifier is granted only under a purpose of kind unique_id; send a decision of its own":            "고유식별정보는 kind가 unique_id인 목적에서만 동의받을 수 있습니다. 별도의 결정으로 보내십시오.",
	"the purpose has no such item; see the policy's purposes":                                                      "그 목적에 없는 항목입니다. 방침의 purposes를 확인하십시오.",
	"the purpose has only optional items; name those that are granted":                                             "선택 항목만 있는 목적입니다. 동의한 항목을 items에 적으십시오.",
	"a grant covers all mandatory items of the purpose; name them all, or leave items out":                         "동의는 그 목적의 필수 항목을 모두 포함합니다. 모두 적거나 items를 빼십시오.",
	"the recipient is there twice; remove one":                                                                     "같은 recipient가 두 번 있습니다. 하나를 빼십시오.",
	"no such recipient in force; see the policy's recipients":                                                      "현재 등록된 recipient가 아닙니다. 방침의 recipients를 확인하십시오.",
	"the recipient gets nothing for this purpose; see the policy's recipients":                                     "이 목적으로는 아무것도 제공받지 않는 recipient입니다. 방침의 recipients를 확인하십시오.",

	// Withdrawals.
	"name the items that are withdrawn, or leave items out to withdraw the purposes":                                                                                "철회할 항목을 적거나, 목적을 철회하려면 items를 빼십시오.",
	"send either scope: membership or purposes, not both":                                                                                                           "scope: membership과 purposes 가운데 하나만 보내십시오.",
	"name the purposes that are withdrawn, or send scope: membership":                                                                                               "철회할 목적을 purposes에 적거나 scope: membership을 보내십시오.",
	"a method is a name of 1 to 64 of a-z, 0-9, _ and -":                                                                                                            "method는 a-z, 0-9, _, -로 된 1~64자의 이름입니다.",
	"nothing of what is named is in force; there is nothing left to withdraw":                                                                                       "이 가운데 유효한 것이 없어 철회할 것이 없습니다. 더 하실 일은 없습니다.",
	"the member has withdrawn already; nothing is left to withdraw":                                                                                                 "이미 탈퇴한 회원이라 철회할 것이 없습니다. 더 하실 일은 없습니다.",
	"no policy in force states the purpose and the member decided on none such; see the policy's purposes":                                                          "시행 중인 방침에 없고 회원이 결정한 적도 없는 목적입니다. 방침의 purposes를 확인하십시오.",
	"the purpose rests on a contract or a legal duty, not on consent; it ends with that, or with scope: membership; its optional items can be withdrawn with items": "동의가 아니라 계약이나 법적 의무에 근거한 목적입니다. 그 계약이나 의무, 또는 scope: membership으로 끝납니다. 선택 항목은 items로 철회할 수 있습니다.",
	"the purpose is there twice; remove one":                                                                                                                        "같은 목적이 두 번 있습니다. 하나를 빼십시오.",
	"the member has no membership to record the withdrawal in":                                                                                                      "철회를 기록할 회원 자격이 없습니다. 먼저 회원 자격에 대한 동의를 기록하십시오.",
	"the item is mandatory for a purpose that is named; withdraw the purpose itself":                                                                                "적은 목적의 필수 항목입니다. 항목이 아니라 목적을 철회하십시오.",
	"none of the purposes that are named has the item; see the policy's purposes":                                                                                   "적은 목적 어디에도 없는 항목입니다. 방침의 purposes를 확인하십시오.",

	// Corrections.
	"name at least one item that is wrong":                                                "틀린 항목을 changes에 하나 이상 적으십시오.",
	"the member has no membership to correct anything in":                                 "정정을 기록할 회원 자격이 없습니다. 먼저 회원 자격에 대한 동의를 기록하십시오.",
	"the item is there twice; send one change an item":                                    "같은 항목이 두 번 있습니다. 항목마다 하나만 보내십시오.",
	"a value of a secret item is never recorded; send the item without old and new":       "비밀 항목의 값은 기록하지 않습니다. old와 new 없이 항목만 보내십시오.",
	"the policy prohibits the item; there is nothing to correct":                          "방침이 금지한 항목이라 정정할 것이 없습니다. 빼고 보내십시오.",
	"this kind of member has no such item; see the policy's purposes":                     "이 회원 종류에 없는 항목입니다. 방침의 purposes를 확인하십시오.",
	"the item is under correction already; record the outcome of that one first":          "이미 정정 중인 항목입니다. 그 정정의 결과를 먼저 기록하십시오.",
	"old and new must be valid UTF-8":                                                     "old와 new는 올바른 UTF-8이어야 합니다.",
	"no policy of the member has such an item; see the policy's items":                    "회원의 어느 방침에도 없는 항목입니다. 방침의 items를 확인하십시오.",
	"must be corrected or rejected":                                                       "corrected나 rejected여야 합니다.",
	"must be text of at most 2048 bytes":                                                  "2048바이트 이하의 글이어야 합니다.",
	"the member has no such correction":                                                   "회원에게 그런 정정이 없습니다. 정정을 열 때 받은 id를 쓰십시오.",
	"the correction has its outcome already; open another one if the item is wrong again": "이미 결과가 기록된 정정입니다. 항목이 다시 틀렸다면 새로 여십시오.",
	"the policy of the correction is not in force":                                        "그 정정이 속한 방침이 시행 중이 아닙니다. 시행된 뒤에 결과를 기록하십시오.",

	// Disclosures.
	"an item is under correction; wait for its outcome or leave it out":                                                                      "정정 중인 항목이 있습니다. 결과를 기다리거나 그 항목을 빼십시오.",
	"name the items that are given":                                                                                                          "제공하는 항목을 items에 적으십시오.",
	"name the purpose that the items are given for":                                                                                          "어떤 목적으로 제공하는지 purpose에 적으십시오.",
	"a recipient is a name of 1 to 64 of a-z, 0-9, _ and -":                                                                                  "recipient는 a-z, 0-9, _, -로 된 1~64자의 이름입니다.",
	"say when the items were given":                                                                                                          "항목을 제공한 시각을 occurred_at으로 보내십시오.",
	"an anonymised disclosure is about nobody; send it without member_id":                                                                    "익명 제공은 누구에 관한 것도 아닙니다. member_id 없이 보내십시오.",
	"must be identified, pseudonymised or anonymised":                                                                                        "identified, pseudonymised, anonymised 가운데 하나여야 합니다.",
	"no policy in force states the purpose; it must be stated before anything is given for it":                                               "시행 중인 방침에 없는 목적입니다. 제공하기 전에 방침에 먼저 밝혀야 합니다.",
	"several policies that the member decided on state the purpose; write policy/purpose":                                                    "회원이 결정한 여러 방침에 같은 목적이 있습니다. policy/purpose 꼴로 적으십시오.",
	"the policy in force lists no such exemption; leave basis out to rest on the purpose's own":                                              "시행 중인 방침에 없는 예외입니다. basis를 빼면 목적 자체의 근거에 따릅니다.",
	"the exemption does not cover this purpose":                                                                                              "그 예외는 이 목적에 적용되지 않습니다. basis를 빼거나 이 목적에 적용되는 예외를 적으십시오.",
	"the exemption is for anonymised data only; send the disclosure with form: anonymised and without member_id":                             "그 예외는 익명 정보에만 적용됩니다. form: anonymised로, member_id 없이 보내십시오.",
	"the exemption is for authorities, and the recipient is none":                                                                            "그 예외는 공공기관에만 적용되는데 recipient가 공공기관이 아닙니다. 다른 근거를 쓰십시오.",
	"the recipient is not on the register in force; announce and add it first":                                                               "현재 등록부에 없는 recipient입니다. 먼저 알리고 등록하십시오.",
	"the register does not let the recipient have these items for this purpose; leave items out or announce the change":                      "등록부상 이 recipient는 이 목적으로 이 항목을 받을 수 없습니다. 항목을 빼거나 변경을 먼저 알리십시오.",
	"the policy prohibits the item":                                                                                                          "방침이 금지한 항목입니다. 빼고 보내십시오.",
	"the policy has no such item; see its items":                                                                                             "방침에 없는 항목입니다. 방침의 items를 확인하십시오.",
	"a secret item is given to nobody; leave it out":                                                                                         "비밀 항목은 누구에게도 제공하지 않습니다. 빼십시오.",
	"the purpose has no such item; name the purpose that it is held for":                                                                     "그 목적에 없는 항목입니다. 그 항목을 보유하는 목적을 적으십시오.",
	"nothing that the member decided carries the disclosure now (see reason); ask the member, or name an exemption of the policy with basis": "지금 이 제공을 뒷받침하는 회원의 결정이 없습니다(reason 참조). 회원에게 동의를 받거나 방침의 예외를 basis로 밝히십시오.",
	"the member did not consent to one of the items for this purpose; leave it out or ask the member":                                        "회원이 이 목적으로 동의하지 않은 항목이 있습니다. 빼거나 회원에게 동의를 받으십시오.",
	"the member did not consent to this recipient; ask the member":                                                                           "회원이 이 recipient에 대한 제공에 동의하지 않았습니다. 회원에게 동의를 받으십시오.",

	// Looks.
	"say who looks, in at most 256 bytes":                        "누가 열람하는지 256바이트 이하로 밝히십시오.",
	"say why the data is looked at, in the header Access-Reason": "열람하는 이유를 Access-Reason 헤더에 밝히십시오.",
	"must be text of at most 256 bytes":                          "256바이트 이하의 글이어야 합니다.",

	// The keys that entries need.
	"the purpose's class ends by an event; name the order or event with reference":                       "이 목적의 보유 구분은 주문이나 이벤트가 끝날 때까지입니다. 그 주문이나 이벤트를 reference로 밝히십시오.",
	"nothing of this purpose is open under that reference; record the consent or contract with it first": "그 reference로 열려 있는 것이 이 목적에 없습니다. 그 reference로 동의나 계약을 먼저 기록하십시오.",
	"the member has nothing recorded in the class of this purpose; record the consent or contract first": "이 목적의 보유 구분에 회원의 기록이 없습니다. 동의나 계약을 먼저 기록하십시오.",
	"the member has too many orders or events that have not ended; end some first":                       "끝나지 않은 주문이나 이벤트가 너무 많습니다. 먼저 몇 가지를 끝내십시오.",

	// The ledger's own.
	"the order or event of that reference has ended for everybody; use a reference of its own for a new one":                    "그 reference의 주문이나 이벤트는 모두에게 끝났습니다. 새로운 것에는 다른 reference를 쓰십시오.",
	"the member is active, and nothing of them is kept apart; use the ordinary calls":                                           "활동 중인 회원이라 분리 보관된 것이 없습니다. 일반 호출을 쓰십시오.",
	"there is no destruction entry at that index; send the index of the entry of class destructions in the withdrawal's answer": "그 번호에 파기 기록이 없습니다. 철회 응답에서 class가 destructions인 기록의 index를 보내십시오.",
	"there is no such request; use the id of the answer that opened it":                                                         "그런 요구가 없습니다. 요구를 접수할 때 받은 id를 쓰십시오.",
	"role is one of writer, reader, dpo, auditor, admin":                                                                        "role은 writer, reader, dpo, auditor, admin 가운데 하나입니다.",
	"name is 1 to 64 bytes of text that tells this key from the others, such as shop-backend":                                   "name은 다른 키와 구별되는 1~64바이트의 글입니다. 예: shop-backend.",
}
