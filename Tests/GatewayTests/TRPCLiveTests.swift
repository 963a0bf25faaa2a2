import Execution
import Fleet
import Foundation
import TestSupport
import Testing

@testable import Gateway

/// The procedures over a real Fleet and Execution; no worker, so no VM ever runs.
@Suite(LiveRedis()) struct TRPCLiveTests {
    private struct Bench {
        let client: RawClient
        let fleet: Fleet
        let user: String  // a token
        let admin: String  // another's
    }

    private func withBench(_ body: (Bench) async throws -> Void) async throws {
        try await withFleet { fleet, prefix in
            let user = try await fleet.users.create(name: "user", by: .system("test"))
            let admin = try await fleet.users.create(name: "admin", role: .admin, by: .system("test"))
            let execution = try executionService(
                fleet, ExecutionConfiguration(gatewayID: prefix, provider: "local"))
            let operations = GatewayOperations.live(
                execution: execution, fleet: fleet, provider: "local", providers: ["local"],
                catalog: { .tiers("local") })
            let tokens = fleet.tokens
            let userToken = try await tokens.create(for: user.id, name: "t", by: .system("test")).token
            let adminToken = try await tokens.create(
                for: admin.id, name: "t", scopes: [.user, .admin], by: .system("test")
            ).token
            try await withTRPC(operations) { client in
                try await body(Bench(client: client, fleet: fleet, user: userToken, admin: adminToken))
            }
        }
    }

    @Test func aVMIsMadeShownListedAndDestroyed() async throws {
        try await withBench { bench in
            let client = bench.client
            #expect(try await client.trpc("GET", "vm.getMyVm", token: bench.user).data[0] is NSNull)
            for path in ["vm.startMyVm", "vm.stopMyVm", "vm.destroyMyVm"] {
                let answer = try await client.trpc("POST", path, body: "", token: bench.user)
                #expect(answer.status == 404 && answer.error?.service == "environment_not_found", "\(path)")
            }
            let first = try await client.trpc("POST", "vm.provisionMyVm", body: "", token: bench.user)
            let vm = try #require(first.data[0] as? [String: Any])
            let id = try #require(vm["id"] as? String)
            #expect(vm["status"] as? String == "provisioning" && vm["vcpus"] as? Int == 2 && vm["diskGb"] as? Int == 10)
            #expect(vm["sshPort"] is NSNull && vm["totalRuntimeMinutes"] as? Int == 0)
            let again = try await client.trpc("POST", "vm.provisionMyVm", body: #"{"vcpus":16}"#, token: bench.user)
            #expect((again.data[0] as? [String: Any])?["id"] as? String == id)  // as it is
            #expect(try await client.trpc("POST", "vm.startMyVm", body: "", token: bench.user).status == 200)
            let early = try await client.trpc("POST", "vm.stopMyVm", body: "", token: bench.user)
            #expect(early.status == 409 && early.error?.number == -32_009)

            let all = try await client.trpc("GET", "vm.getAllVms", token: bench.admin)
            let fleet = try #require(all.data[0] as? [String: Any])
            #expect((fleet["vms"] as? [[String: Any]])?.map { $0["id"] as? String } == [id])
            let stats = try #require(fleet["stats"] as? [String: Int])
            #expect(stats["provisioning"] == 1 && stats["totalVcpus"] == 2 && stats["runningVcpus"] == 0)
            #expect(try await client.trpc("GET", "vm.getMyVm", token: bench.admin).data[0] is NSNull)

            let unknown = try await client.trpc(
                "POST", "vm.destroyVm", body: #"{"vmId":"\#(EnvironmentID())"}"#, token: bench.admin)
            #expect(unknown.status == 404)
            let made = try #require(EnvironmentID(id))
            let environment = try #require(try await bench.fleet.environments.find(made))
            _ = try await bench.fleet.environments.move(
                environment.id, from: environment.state, generation: environment.generation, to: .error,
                change: EnvironmentChange(errorMessage: "It broke."), actor: .system("test"), action: "test")
            let broken = try await client.trpc("POST", "vm.executeCode", body: #"{"code":"true"}"#, token: bench.user)
            let result = try #require(broken.data[0] as? [String: Any])
            #expect(result["exitCode"] as? Int == 1 && (result["stderr"] as? String)?.contains("It broke.") == true)
            let destroyed = try await client.trpc(
                "POST", "vm.destroyVm", body: #"{"vmId":"\#(id)"}"#, token: bench.admin)
            #expect(destroyed.status == 200)
            let gone = try await client.trpc("GET", "vm.getMyVm", token: bench.user)
            #expect((gone.data[0] as? [String: Any])?["status"] as? String == "destroying")
        }
    }

    /// More VMs than a page of the store and than one answer holds.
    @Test func aLargeFleetIsCountedWholeAndListedInPages() async throws {
        var operations = GatewayOperations.seeded
        let vms = (0..<(VMProcedures.listed + 700)).map { number in
            var vm = DashboardVM.example
            vm.id = EnvironmentID(String(format: "00000000-0000-4000-8000-%012x", number))!
            vm.status = number.isMultiple(of: 2) ? .running : .stopped
            return vm
        }
        operations.trpc.page = { after in
            let start = after.map { after in vms.firstIndex { $0.id == after }! + 1 } ?? 0
            return Array(vms[start...].prefix(500))
        }
        try await withTRPC(operations) { client in
            var listed: [String] = []
            var cursor: String?
            repeat {
                let input = cursor.map { "?input=" + escaped("{\"cursor\":\"\($0)\"}") } ?? ""
                let answer = try await client.trpc("GET", "vm.getAllVms" + input, token: "mlt_admin")
                let fleet = try #require(answer.data[0] as? [String: Any])
                let stats = try #require(fleet["stats"] as? [String: Int])
                #expect(stats["total"] == vms.count && stats["stopped"] == vms.count / 2)
                listed += try #require(fleet["vms"] as? [[String: Any]]).compactMap { $0["id"] as? String }
                cursor = fleet["nextCursor"] as? String
            } while cursor != nil
            #expect(listed == vms.map(\.id.description))
        }
    }

    @Test func theProvisionLogIsAsDashboardsPollIt() async throws {
        try await withBench { bench in
            let user = try #require(try await bench.fleet.authenticator.authenticate(bench.user)).userID
            await bench.fleet.provisionLog.append(user, .info, "made")
            await bench.fleet.provisionLog.append(user, .success, "done")
            let answer = try await bench.client.trpc("GET", "vm.getProvisionLogs", token: bench.user)
            let lines = try #require(answer.data[0] as? [[String: String]])
            #expect(lines.map { $0["message"] } == ["made", "done"])
            #expect(lines.map { $0["level"] } == ["info", "success"] && lines[0]["timestamp"]?.hasSuffix("Z") == true)
        }
    }
}
