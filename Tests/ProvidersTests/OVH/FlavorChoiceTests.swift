import Cryptography
import Foundation
import Testing

@testable import Providers

@Suite struct FlavorChoiceTests {
    static let kinds = ["ovh.ssd.eg", "ovh.ssd.cpu", "ovh.d2"]
    static let flavors: [OVHFlavor] = [
        ("d2-2", 1, 2, 25, "ovh.d2", true, 5), ("d2-4", 2, 4, 50, "ovh.d2", true, 5),
        ("d2-8", 4, 8, 50, "ovh.d2", false, 5), ("b2-7", 2, 7, 50, "ovh.ssd.eg", true, 9),
        ("b2-15", 4, 15, 100, "ovh.ssd.eg", true, 9), ("b2-15-flex", 4, 15, 50, "ovh.ssd.eg", true, 9),
        ("c2-7", 2, 7, 50, "ovh.ssd.cpu", true, 9), ("b3-8", 2, 8, 50, "ovh.ssd.eg", true, 0),
        ("b3-16", 4, 16, 100, "ovh.ssd.eg", true, 4), ("r2-15", 2, 15, 50, "ovh.ssd.ram", true, 4),
        ("win-b2-7", 2, 7, 50, "ovh.ssd.eg", true, 9), ("s1-2", 1, 2_000, 10, "ovh.vps-ssd", true, 3),
        ("b2-30", 8, 30_000, 200, "ovh.ssd.eg", true, 2), ("b3-32", 8, 0, 200, "ovh.ssd.eg", true, 2),
    ].map { name, vcpus, ram, disk, type, isAvailable, quota in
        OVHFlavor(
            id: name, name: name, region: "GRA11", ram: ram, disk: disk, vcpus: vcpus, type: type,
            osType: name.hasPrefix("win-") ? "windows" : "linux", available: isAvailable, quota: quota,
            planCodes: .init(hourly: "\(name).consumption"))
    }

    static func spec(
        _ vcpus: Int, _ memoryMb: Int, _ diskGb: Int, flavor: String? = nil
    ) throws -> VMSpec {
        VMSpec(
            name: "mlt-1", vcpus: vcpus, memoryMb: memoryMb, diskMb: diskGb << 10, processes: 100, authorizedKeys: [],
            hostKey: try SSHKeyPair.generate(comment: ""), runnerSecret: try Random.hex(32), flavor: flavor)
    }

    @Test(arguments: [
        (1, 1_024, 0, "d2-2"), (2, 4_096, 0, "d2-4"), (2, 4_097, 0, "b2-7"), (2, 8_192, 0, "b2-15-flex"),
        (4, 15_360, 80, "b2-15"), (4, 16_384, 0, "b3-16"), (8, 16_384, 0, "b2-30"), (2, 4_096, 60, "b2-15"),
        (16, 1_024, 0, nil),
    ])
    func theCheapestThatFits(vcpus: Int, memoryMb: Int, diskGb: Int, pick: String?) throws {
        for _ in 0..<2 {
            let made = try? Self.flavors.shuffled()
                .choice(for: Self.spec(vcpus, memoryMb, diskGb), in: "GRA11", kinds: Self.kinds)
            #expect(made?.name == pick)
        }
    }

    @Test func aFlavourThatIsNamedIsTakenOrRefused() throws {
        func pick(_ name: String) throws -> String {
            try Self.flavors.choice(for: Self.spec(2, 15_360, 1, flavor: name), in: "GRA11", kinds: Self.kinds).name
        }
        #expect(try pick("r2-15") == "r2-15")  // of a kind that nobody gets unasked
        #expect(try pick("b2-15-flex") == "b2-15-flex")  // what is got unasked
        for name in ["d2-8", "b3-8", "nothing", "b2-15", "b2-30"] {  // the last two are larger than was counted
            let error = #expect(throws: ProviderError.self) { try pick(name) }
            #expect(error?.code == .invalidSpec && error?.message.contains(name) == true)
        }
        #expect(throws: ProviderError.self) {
            try Self.flavors.choice(for: Self.spec(1, 512, 1), in: "BHS5", kinds: Self.kinds)
        }
    }

    @Test func instancesDecodeWhateverOVHAddsOrLeavesOut() throws {
        let text = """
            {"id": "i", "name": "mlt-1", "status": "ACTIVE", "created": "2025-09-24T17:21:31Z", "region": "GRA9",
             "image": null, "sshKey": null, "new": {"a": [1]}, "ipAddresses": [
               {"ip": "2001:db8::1", "type": "public", "version": 6, "gatewayIp": null},
               {"ip": "10.0.0.1", "type": "private", "version": 4},
               {"ip": "1.2.3.4", "type": "public", "version": 4}]}
            """
        var instance = try JSONDecoder().decode(OVHInstance.self, from: Data(text.utf8))
        #expect(instance.publicIPv4 == "1.2.3.4")
        #expect(instance.vm.createdAt == Date(timeIntervalSince1970: 1_758_734_491))
        for (status, meaning) in [
            ("BUILD", VMStatus.provisioning), ("BUILDING", .provisioning), ("ACTIVE", .running), ("REBOOT", .running),
            ("SHUTOFF", .stopped), ("PAUSED", .stopped), ("SHELVED_OFFLOADED", .stopped), ("DELETING", .missing),
            ("SOFT_DELETED", .missing), ("ERROR", .error), ("UNKNOWN", .provisioning), ("FROBNICATED", .provisioning),
        ] {
            instance.status = status
            #expect(instance.vmStatus == meaning, "\(status)")
        }
    }

    @Test func errorsOfBothGenerationsAndOfProxiesAreUnderstood() {
        func kind(_ status: Int, _ body: String) -> OVHError.Kind {
            OVHError(status: status, body: Array(body.utf8), call: "", queryID: nil, retryAfter: nil) { $0 }.kind
        }
        #expect(kind(400, #"{"errorCode":"QUERY_TIME_OUT","httpCode":"400","message":"m"}"#) == .clockRefused)
        #expect(kind(400, #"{"errorCode":"INVALID_SIGNATURE","message":"m"}"#) == .signatureRefused)
        #expect(kind(403, #"{"errorCode":"INVALID_KEY","message":"m"}"#) == .keyUnknown)
        #expect(kind(403, #"{"errorCode":"NOT_GRANTED_CALL","message":"m"}"#) == .notGranted)
        #expect(kind(403, #"{"class":"Client::Forbidden","message":"m","details":{"a":"b"}}"#) == .forbidden)
        #expect(kind(409, #"{"class":"Client::Conflict","message":"m"}"#) == .conflict)
        #expect(kind(460, "{}") == .projectExpired)
        #expect(kind(502, "<html>bad gateway</html>") == .serverFailed)
        #expect(kind(429, "") == .tooManyRequests)
        let date = Date(timeIntervalSince1970: 1_700_000_000)
        #expect(OVHClient.retryAfter("17", now: date) == .seconds(17))
        #expect(OVHClient.retryAfter("Tue, 14 Nov 2023 22:13:50 GMT", now: date) == .seconds(30))
        #expect(OVHClient.retryAfter("soon", now: date) == nil)
    }
}
