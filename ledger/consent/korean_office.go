package consent

// koreanOffice are the messages of holds, dormancy, activity, signals, ends of
// orders and events, requests and notices. Names of fields and codes stay as
// they are sent.
var koreanOffice = map[string]string{
	"the member has no membership to record it in": "기록할 회원 자격이 없는 회원입니다.",

	// Suspended, dormant.
	"the member asked to suspend processing; wait until that request is refused or lifted":                                                        "회원이 처리 정지를 요구했습니다. 그 요구가 거절되거나 해제될 때까지 기다리십시오.",
	"the member is dormant, and what is held of them is kept apart; record with POST /v1/reactivations that they came back first":                 "휴면 회원이며 정보는 분리 보관 중입니다. 먼저 POST /v1/reactivations로 회원이 돌아온 것을 기록하십시오.",
	"the member is dormant, and what is held of them is kept apart; record with POST /v1/reactivations that they came back, then send this again": "휴면 회원이며 정보는 분리 보관 중입니다. POST /v1/reactivations로 회원이 돌아온 것을 기록한 뒤 다시 보내십시오.",
	"the member is not dormant; record what they did with POST /v1/activity":                                                                      "휴면 회원이 아닙니다. 회원의 활동은 POST /v1/activity로 기록하십시오.",
	"say how the member came back, such as sign_in, phone or shop":                                                                                "회원이 돌아온 방법을 method로 밝히십시오. 예: sign_in, phone, shop.",
	"only cookies can be asked for each time; send granted or refused":                                                                            "매번 묻기는 쿠키에만 쓸 수 있습니다. granted나 refused를 보내십시오.",
	"must be gpc, Global Privacy Control":                                                                                                         "signal은 gpc(Global Privacy Control)여야 합니다.",
	"say when it happened":                                                                                                                        "일어난 시각을 occurred_at으로 보내십시오.",

	// Ends of orders and events.
	"must be delivered or event_ended":                                      "type은 delivered나 event_ended여야 합니다.",
	"name the order or event that has ended":                                "끝난 주문이나 이벤트를 reference로 밝히십시오.",
	"nothing of the member that ends this way is open under that reference": "이 회원에게 그 reference로 열려 있으면서 이렇게 끝나는 것이 없습니다.",

	// Breaches.
	"no version of any policy has the item; see the policies' items":                                    "어느 방침의 어느 버전에도 없는 항목입니다. 방침의 items를 확인하십시오.",
	"the recipient was never on a register, and no entry of that time names it; see GET /v1/recipients": "등록부에 오른 적이 없고 그 기간의 어느 기록에도 없는 제공받는 자입니다. GET /v1/recipients를 확인하십시오.",

	// Holds.
	"name at least one retention class that is held":                                        "보존할 보유 구분(class)을 classes로 하나 이상 밝히십시오.",
	"no policy has such a retention class; see the policy's retention":                      "어느 방침에도 없는 보유 구분(class)입니다. 방침의 retention을 확인하십시오.",
	"nothing of the member is recorded in the class; there is nothing to hold":              "그 구분(class)에 이 회원의 기록이 없어 보존할 것이 없습니다.",
	"the member has such a class under several policies; write policy/class":                "여러 방침에 같은 이름의 구분(class)이 있습니다. policy/class로 쓰십시오.",
	"the class is there twice; name it once":                                                "같은 구분(class)이 두 번 있습니다. 한 번만 쓰십시오.",
	"say on which ground the data must not be destroyed":                                    "파기하면 안 되는 근거를 ground로 밝히십시오.",
	"a hold ends in the future, within 30 years; place it again then if it is still needed": "until은 앞으로 30년 이내의 시각이어야 합니다. 그때에도 필요하면 다시 보존하십시오.",
	"the member has no such hold":                                                           "이 회원에게 그런 보존(hold)이 없습니다.",
	"the hold has ended already; there is nothing to release":                               "이미 끝난 보존(hold)이라 해제할 것이 없습니다.",

	// Requests.
	"must be access, correction, erasure, suspension or complaint":                       "type은 access, correction, erasure, suspension, complaint 중 하나여야 합니다.",
	"say when the member asked; the time to answer counts from then":                     "회원이 요구한 시각을 received_at으로 보내십시오. 답변 기한은 그때부터 셉니다.",
	"say by which channel, such as email, phone, post or shop":                           "경로를 channel로 밝히십시오. 예: email, phone, post, shop.",
	"a channel is a name of 1 to 64 of a-z, 0-9, _ and -":                                "channel은 a-z, 0-9, _, -로 된 1~64자의 이름이어야 합니다.",
	"the member has no such request":                                                     "이 회원에게 그런 요구가 없습니다.",
	"only a suspension that was granted can be lifted":                                   "받아들인 처리 정지만 해제할 수 있습니다.",
	"the request has its outcome already; record a new request if the member asks again": "이미 결과가 있는 요구입니다. 회원이 다시 요구하면 새 요구로 기록하십시오.",
	"must be granted, refused or withdrawn, or lifted for a suspension that was granted": "outcome은 granted, refused, withdrawn이거나, 받아들인 처리 정지라면 lifted여야 합니다.",
	"say why the request is refused; the member has a right to know":                     "거절하는 이유를 reason으로 밝히십시오. 회원은 알 권리가 있습니다.",

	// Notices.
	"must be policy_change, processor_change, dormancy, withdrawal_done, destruction_done, breach, correction, destruction_request or partner_audit": "kind는 policy_change, processor_change, dormancy, withdrawal_done, destruction_done, breach, correction, destruction_request, partner_audit 중 하나여야 합니다.",
	"say when it was sent, tried or done": "보내거나 시도하거나 실시한 시각을 sent_at으로 보내십시오.",
	"the notice is about one member or about one destruction; send member_id, or destruction where the member is gone": "통지는 회원 한 명이나 파기 한 건에 대한 것입니다. member_id를 보내고, 회원이 없으면 destruction을 보내십시오.",
	"a notice of this kind is about a member; send member_id":                                                          "이 종류의 통지는 회원에 대한 것입니다. member_id를 보내십시오.",
	"a notice of this kind is about nobody; send it without member_id":                                                 "이 종류의 통지는 회원에 대한 것이 아닙니다. member_id 없이 보내십시오.",
	"a notice of this kind is not about a destruction; leave destruction out":                                          "이 종류의 통지는 파기에 대한 것이 아닙니다. destruction을 빼십시오.",
	"name the recipient who was told, asked or audited":                                                                "알리거나 요청하거나 점검한 상대를 recipient로 밝히십시오.",
	"a notice of this kind goes to the member; leave recipient out":                                                    "이 종류의 통지는 회원에게 보내는 것입니다. recipient를 빼십시오.",
	"name the correction that the recipient was told of":                                                               "어느 정정을 알렸는지 correction으로 밝히십시오.",
	"only a notice of kind correction is about one; leave correction out":                                              "correction은 kind가 correction인 통지에만 씁니다. 빼십시오.",
	"only a destruction_request has a time by which it is to be done; leave due_at out":                                "due_at은 kind가 destruction_request인 통지에만 씁니다. 빼십시오.",
	"say until when the copy is to be destroyed":                                                                       "사본을 언제까지 파기해야 하는지 due_at으로 보내십시오.",
	"must be later than sent_at, by 30 years at most":                                                                  "due_at은 sent_at보다 나중이어야 하며 30년을 넘을 수 없습니다.",
	"the outcome of an audit must be passed, findings, failed or impossible":                                           "점검의 outcome은 passed, findings, failed, impossible 중 하나여야 합니다.",
	"the outcome of a notice must be sent, delivered, confirmed, failed or impossible":                                 "통지의 outcome은 sent, delivered, confirmed, failed, impossible 중 하나여야 합니다.",
	"say why it failed or is impossible":                                                                               "실패했거나 할 수 없는 이유를 reason으로 밝히십시오.",
	"where a destruction is named the reason is a name of 1 to 64 of a-z, 0-9, _ and -":                                "destruction을 쓸 때 reason은 a-z, 0-9, _, -로 된 1~64자의 이름이어야 합니다.",
	"the correction has no outcome yet; record that first":                                                             "아직 결과가 없는 정정입니다. 먼저 결과를 기록하십시오.",
	"the outcome of the correction does not list the recipient; name one of its notify":                                "정정 결과에 알릴 곳으로 올라 있지 않습니다. 결과의 notify에 있는 곳을 밝히십시오.",
}
