import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// Plain and batched calls beyond the checklist (`TRPCChecklistTests`).
@Suite struct TRPCCallTests {
    @Test func flavorsAreThoseTheTierMayHave() async throws {
        try await withTRPC { client in
            let flavors = try await client.trpc("GET", "vm.listFlavors").data[0] as? [[String: Any]]
            #expect(flavors?.map { $0["available"] as? Bool } == [true, false, false])
            #expect(flavors?[0]["ram"] as? Int == 4 && flavors?[0]["region"] as? String == "here")
        }
    }

    @Test func noOtherMethodCalls() async throws {
        try await withTRPC { client in
            for method in ["PUT", "PATCH", "DELETE"] {
                let answer = try await client.trpc(method, "vm.startMyVm", body: "{}")
                #expect(answer.status == 405 && answer.error?.path == "vm.startMyVm")
            }
            let form = try await client.trpc("GET", "vm.getMyVm", ["content-type: multipart/form-data; boundary=x"])
            #expect(form.status == 405)
        }
    }

    @Test func queriesComeByPostWhereThatIsAllowed() async throws {
        try await withTRPC(.seeded) {
            $0.trpc.allowsMethodOverride = true
        } _: { client in
            #expect(try await client.trpc("POST", "vm.getMyVm", body: "").status == 200)
            let cursor = try await client.trpc(
                "POST", "vm.getAllVms?batch=1", body: #"{"0":{"cursor":"x"}}"#, token: "mlt_admin")
            #expect(cursor.error?.message.contains("'cursor'") == true)
        }
    }

    @Test func pathsThatNameNoCallAreRefused() async throws {
        try await withTRPC { client in
            let subscription = try await client.trpc("GET", "vm.executeCodeStream?batch=1")
            #expect(subscription.status == 400 && subscription.error?.message == "Cannot batch subscription calls")
            #expect(try await client.trpc("GET", "vm.%ZZ").status == 400)
            #expect(try await client.trpc("GET", "vm/getMyVm").error?.code == "NOT_FOUND")
            #expect(try await client.trpc("GET", "").status == 404)
        }
    }

    @Test func adminsSeeEveryVM() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getAllVms", token: "mlt_admin")
            let fleet = try #require(answer.data[0] as? [String: Any])
            #expect((fleet["vms"] as? [Any])?.count == 1 && (fleet["hosts"] as? [Any])?.isEmpty == true)
            let stats = try #require(fleet["stats"] as? [String: Int])
            #expect(stats["total"] == 1 && stats["running"] == 1 && stats["runningMemoryMb"] == 4_096)
            #expect(fleet["nextCursor"] is NSNull)
            let destroyed = try await client.trpc(
                "POST", "vm.destroyVm", body: #"{"vmId":"\#(DashboardVM.example.id)"}"#, token: "mlt_admin")
            #expect(destroyed.text == #"{"result":{"data":{"success":true}}}"# + "\n")
            let unknown = try await client.trpc("POST", "vm.destroyVm", body: #"{"vmId":"vm-7"}"#, token: "mlt_admin")
            #expect(unknown.status == 404)
            let nobodys = try await client.trpc("POST", "vm.destroyVm", body: "{}", token: "mlt_admin")
            #expect(nobodys.status == 400 && nobodys.error?.message.contains("vmId") == true)
            // Whoever may not is told that, whatever they sent.
            #expect(try await client.trpc("POST", "vm.destroyVm", body: "{").status == 403)
        }
    }

    @Test func whoCallsIsAskedOnceAndTold() async throws {
        try await withTRPC { client in
            for token in [nil, "mlt_bad"] {
                let answer = try await client.trpc("GET", "vm.getMyVm,vm.listRegions?batch=1", token: token)
                #expect(answer.status == 401 && answer.errors.allSatisfy { $0?.number == -32_001 })
                #expect(answer.head.contains("www-authenticate: bearer"))
            }
            let inQuery = try await client.trpc(
                "GET", "vm.getMyVm?connectionParams=" + escaped(#"{"token":"mlt_good"}"#), token: nil)
            #expect(inQuery.status == 200)
            let bad = try await client.trpc("GET", "vm.getMyVm?connectionParams=%7B", token: nil)
            #expect(bad.status == 400 && bad.error?.number == -32_700 && bad.error?.path == nil)
        }
    }

    @Test func inputIsReadOnlyByThoseWhoTakeIt() async throws {
        try await withTRPC(.refusing) { client in
            #expect(try await client.trpc("GET", "vm.getMyVm?input=%7B").status == 200)
            let bad = try await client.trpc("POST", "vm.executeCode", body: "{")
            #expect(bad.status == 400 && bad.error?.number == -32_600 && bad.error?.path == "vm.executeCode")
            let mixed = try await client.trpc("POST", "vm.destroyMyVm,vm.executeCode?batch=1", body: "{")
            #expect(mixed.errors.map { $0?.code } == ["SERVICE_UNAVAILABLE", "BAD_REQUEST"])
            #expect(mixed.head.contains("retry-after: 1"))
        }
    }

    @Test(arguments: [
        ("", 200, ""), ("{}", 200, ""), ("null", 200, ""), (#"{"vcpus":2,"memoryMb":4096,"diskGb":50}"#, 200, ""),
        (#"{"vcpus":17}"#, 400, "'vcpus'"), (#"{"vcpus":0}"#, 400, "'vcpus'"), (#"{"vcpus":"2"}"#, 400, "'vcpus'"),
        (#"{"vcpus":1.5}"#, 400, "'vcpus'"), (#"{"memoryMb":1023}"#, 400, "'memoryMb'"),
        (#"{"diskGb":9}"#, 400, "'diskGb'"), (#"{"unknown":[{}]}"#, 200, ""), ("[]", 400, "input"),
        (#"{"vcpus":4}"#, 403, "tier 'free' has 2"),
    ])
    func aVMsSizeIsChecked(input: String, status: Int, names: String) async throws {
        var operations = GatewayOperations.seeded
        let made = Latch()
        operations.trpc.vm = { _ in made.isOpen ? .example : nil }
        operations.createVM = { [operations] caller, _, id, _ in
            made.open()
            return try await operations.startVM(caller, id)
        }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("POST", "vm.provisionMyVm", body: input)
            #expect(answer.status == status && made.isOpen == (status == 200), "\(answer.text)")
            #expect(names.isEmpty || answer.error?.message.contains(names) == true, "\(answer.text)")
        }
    }

    @Test func whoeverHasNoVMIsToldSo() async throws {
        var operations = GatewayOperations.seeded
        operations.trpc.vm = { _ in nil }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("POST", "vm.startMyVm", body: "")
            #expect(answer.status == 404 && answer.error?.service == "environment_not_found")
        }
    }

    @Test func theTypesAreServedToWhoeverAsks() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "types.d.ts", token: nil)
            #expect(answer.status == 200 && answer.text.contains("export type AppRouter"))
        }
    }
}
