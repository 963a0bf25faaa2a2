import Foundation
import Testing

@testable import Providers

/// Vectors made by the vendor's own `ovh` package for Python, version 1.2.0.
@Suite struct OVHSignatureTests {
    static let credentials = OVHCredentials(
        applicationKey: "test-app-key", applicationSecret: "test-app-secret", consumerKey: "test-consumer-key")
    static let root = "https://eu.api.ovh.com/1.0/cloud/project/0123456789abcdef0123456789abcdef"
    static let instance = root + "/instance/aaaabbbb-cccc-dddd-eeee-ffff00001111"
    static let order =
        #"{"flavorId":"906e8259-0340-4856-95b5-4ea2d26fe377","imageId":"9f1d7a1a-1111-2222-3333-444455556666","#
        + #""name":"env-abc123","region":"GRA11","monthlyBilling":false}"#
    static let key = #"{"name":"cle-\u00e9","publicKey":"ssh-ed25519 AAAA user@host","region":"GRA11"}"#

    @Test(arguments: [
        ("GET", "https://eu.api.ovh.com/1.0/me", "", 1_700_000_000, "23697f11fa0120f68caa259c6f506bfe54f694b2"),
        ("GET", root + "/flavor?region=GRA11", "", 1_700_000_000, "0f13163cf5b43533dae38b870346ce6baefdd737"),
        (
            "GET", root + "/image?flavorType=ovh.ssd.eg&osType=linux&region=GRA11", "", 1_700_000_000,
            "9e2d199c33f24ccf88686156fd9801a60dfaccd4"
        ),
        ("POST", root + "/instance", order, 1_700_000_000, "f0505eed8a858d1eb974c667fa51757703f84c59"),
        ("DELETE", instance, "", 1_700_000_000, "46c7b56aa3a52437d4412e9eb6ca245d177e49fa"),
        ("POST", instance + "/start", "", 1_700_000_000, "1169e409f7575785bde9faf27f57c804f0eec0cd"),
        ("POST", instance + "/reboot", #"{"type":"soft"}"#, 1_700_000_000, "b6aa08b45590345a0d8884dd862d27f028077872"),
        ("POST", root + "/sshkey", key, 1_700_000_000, "9f0d78c1a4293f2ce19dececf26a5d71ba3d8b0e"),
        ("GET", "https://api.us.ovhcloud.com/1.0/me", "", 1_700_000_042, "82b1477c55c9aab0c4303321796bf34bea291dba"),
        (
            "GET", "https://ca.api.ovh.com/1.0/cloud/project/0123456789abcdef0123456789abcdef/quota", "",
            1_700_000_042, "a9e59238b637edcd669db5f8ac8419d875141ff6"
        ),
        ("GET", "https://ca.api.ovh.com/v2/iam/policy", "", 1_700_000_042, "7447e6c49d1801708579ed90a42884aa14668d1e"),
        (
            "POST", root + "/sshkey", key.replacing(#"\u00e9"#, with: "é"), 1_700_000_000,
            "12a46ed018d0142405c800a29d41f8cb41fa799c"
        ),
        (
            "POST", instance + "/reboot", #"{"type": "soft"}"#, 1_700_000_000,
            "e11ef3b74cf3da5782cb4dd1731c01a500ebfd7a"
        ),
    ])
    func itIsTheVendors(method: String, url: String, body: String, timestamp: Int, signature: String) {
        let made = OVHSignature.sign(
            method, url, body: Array(body.utf8), timestamp: timestamp, with: Self.credentials)
        #expect(made == "$1$" + signature)
    }

    @Test func itIsThatOfAnotherImplementation() {
        let credentials = OVHCredentials(applicationKey: "AK", applicationSecret: "AS", consumerKey: "CK")
        let made = OVHSignature.sign(
            "GET", "https://eu.api.ovh.com/1.0/cloud/project/p/instance", timestamp: 1_790_489_276, with: credentials)
        #expect(made == "$1$88c229378506bf49b4a98a62de074c2fcf4b6c5a")
    }

    @Test func urlsAreThoseOnTheWire() throws {
        let endpoint = try #require(OVHEndpoint("ovh-ca"))
        #expect(endpoint.url(of: "/me") == "https://ca.api.ovh.com/1.0/me")
        #expect(endpoint.url(of: "/v2/iam/policy") == "https://ca.api.ovh.com/v2/iam/policy")
        #expect(endpoint.url(of: "/a", query: [("b c", "d&é")]) == "https://ca.api.ovh.com/1.0/a?b%20c=d%26%C3%A9")
        #expect(OVHEndpoint("http://127.0.0.1:1/1.0/")?.url == "http://127.0.0.1:1/1.0")
        for nonsense in ["", "ovh-mars", "ftp://a/1.0", "http://", "http://a/1.0?b"] {
            #expect(OVHEndpoint(nonsense) == nil)
        }
    }

    @Test func credentialsDoNotShowTheirSecrets() {
        var dumped = ""
        dump(Self.credentials, to: &dumped)
        for text in [
            "\(Self.credentials)", String(reflecting: Self.credentials), dumped,
            Self.credentials.scrubbed("test-app-secret test-consumer-key"),
        ] {
            #expect(!text.contains("test-app-secret") && !text.contains("test-consumer-key"), "\(text)")
        }
    }
}
