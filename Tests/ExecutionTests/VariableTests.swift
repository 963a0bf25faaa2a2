import Fleet
import Foundation
import TestSupport
import Testing

@testable import Execution

extension Live {
    @Suite(LiveSSHD()) struct VariableTests {
        @Test func everythingThatRunsIsGivenTheEnvironmentsVariables() async throws {
            try await LiveVM.with({ $0.variables = ["GREETING": "hello\nyou=$X", "SHARED": "environment"] }) { vm in
                let service = try vm.service()
                let code = #"printf '%s|%s|%s' "$GREETING" "${SHARED-none}" "${OWN-none}""#
                #expect(try await vm.output(of: code, on: service) == "hello\nyou=$X|environment|none")
                let own = ["SHARED": "call", "OWN": ""]
                #expect(
                    try await vm.output(of: code, on: service, variables: own) == "hello\nyou=$X|call|",
                    "the call's own goes before")
                #expect(try await vm.output(of: code, on: service, in: "\(vm.environment.id)").hasPrefix("hello"))

                var update = EnvironmentUpdate()
                update.variables = ["SHARED": "changed"]
                try await vm.fleet.environments.update(vm.environment.id, update, by: vm.caller, requestID: nil)
                #expect(try await vm.output(of: code, on: service) == "|changed|none", "from the next call on")
                update.variables = [:]
                try await vm.fleet.environments.update(vm.environment.id, update, by: vm.caller, requestID: nil)
                #expect(try await vm.output(of: code, on: service) == "|none|none")
                await service.sessions.close()
            }
        }

        @Test func anothersEnvironmentIsNotThereAlsoForAnAdmin() async throws {
            try await LiveVM.with { vm in
                let service = try vm.service()
                let user = try await vm.fleet.users.create(name: "admin", role: .admin, by: .system("test"))
                let admin = Caller(
                    userID: user.id, tokenID: TokenID(), role: .admin, scopes: [.user, .admin], tier: .free)
                let error = await #expect(throws: ServiceError.self) {
                    try await vm.output(of: "true", on: service, caller: admin)
                }
                #expect(error?.code == .environmentNotFound)
                var filter = AuditFilter()
                filter.errorCode = "forbidden"
                let line = try await vm.fleet.audit.search(filter).first
                #expect(line?.action == "execute" && line?.environmentID == vm.environment.id)
                await service.sessions.close()
            }
        }

        @Test func valuesAreAskedForOnceAVersion() async throws {
            try await withRunningVM { fleet, environment in
                let cache = VariableCache()
                let asked = Counter()
                func read(_ environment: Environment) async throws -> [String: String] {
                    try await cache.variables(of: environment) { id in
                        await asked.add()
                        return try await fleet.environments.variables(of: id)
                    }
                }
                #expect(try await read(environment).isEmpty)
                #expect(await asked.count == 0, "there are none")
                let user = try #require(try await fleet.users.byID(environment.userID))
                let caller = Caller(userID: user.id, tokenID: TokenID(), role: .user, scopes: [.user], tier: .free)
                for value in ["1", "2"] {
                    var update = EnvironmentUpdate()
                    update.variables = ["A": value]
                    let changed = try await fleet.environments.update(
                        environment.id, update, by: caller, requestID: nil)
                    for _ in 0..<3 { #expect(try await read(changed) == ["A": value]) }
                }
                #expect(await asked.count == 2)
            }
        }
    }
}

private actor Counter {
    var count = 0
    func add() { count += 1 }
}
