import EventLoop
import Foundation
import TestSupport
import Testing

@testable import Gateway

/// Debian's TypeScript compiler on a program that has nothing of the server but the declaration it publishes.
@Suite struct TypeScriptTests {
    /// What a client reads of a router: the leaves of `record`, what kind each is, what it takes and what it gives.
    /// Each line below `@ts-expect-error` is refused; the compiler complains of every one that is not.
    private static let program = """
        import type { AppRouter, ErrorShape, ExecEvent, Vm } from './AppRouter';

        type Method<K, I, O> =
          K extends 'query' ? { query(input: I): Promise<O> }
          : K extends 'mutation' ? { mutate(input: I): Promise<O> }
          : O extends AsyncIterable<infer V> ? { subscribe(input: I, on: { onData(value: V): void }): void } : never;
        type Client<R> = {
          [N in keyof R]: R[N] extends { _def: { type: infer K; $types: { input: infer I; output: infer O } } }
            ? Method<K, I, O> : Client<R[N]>;
        };
        declare const client: Client<AppRouter['_def']['record']>;
        const transformer: false = null! as AppRouter['_def']['_config']['$types']['transformer'];
        const shape: ErrorShape = null! as AppRouter['_def']['_config']['$types']['errorShape'];

        export async function calls(): Promise<void> {
          const vm: Vm | null = await client.vm.getMyVm.query();
          const logs: { level: string }[] = await client.vm.getProvisionLogs.query();
          const sizes: number[] = (await client.vm.listFlavors.query()).map((flavor) => flavor.ram * 1024);
          const regions: string[] = await client.vm.listRegions.query();
          const total: number = (await client.vm.getAllVms.query()).stats.total;
          await client.vm.getAllVms.query({ cursor: null });
          const made: Vm = await client.vm.provisionMyVm.mutate({ vcpus: 2, memoryMb: 4096, diskGb: 50 });
          await client.vm.provisionMyVm.mutate();
          await client.vm.startMyVm.mutate();
          await client.vm.stopMyVm.mutate();
          const output: string = (await client.vm.executeCode.mutate({ code: 'echo hi' })).stdout;
          await client.vm.destroyMyVm.mutate();
          const gone: true = (await client.vm.destroyVm.mutate({ vmId: made.id })).success;
          client.vm.executeCodeStream.subscribe({ command: 'echo hi' }, {
            onData(value: ExecEvent) { if (value.type === 'exit') value.code.toFixed(); },
          });

          // @ts-expect-error: a wrong input
          await client.vm.provisionMyVm.mutate({ vcpus: 'two' });
          // @ts-expect-error: an input that is missing
          await client.vm.destroyVm.mutate();
          // @ts-expect-error: a misspelt field
          await client.vm.executeCode.mutate({ command: 'echo hi' });
          // @ts-expect-error: a wrong kind
          await client.vm.startMyVm.query();
          // @ts-expect-error: a wrong kind
          await client.vm.getMyVm.mutate();
          // @ts-expect-error: a subscription is not asked for once
          await client.vm.executeCodeStream.query({ command: 'echo hi' });
          // @ts-expect-error: an unknown procedure
          await client.vm.fly.query();
          // @ts-expect-error: an unknown router
          await client.planes.getMyVm.query();
          // @ts-expect-error: there may be no VM
          (await client.vm.getMyVm.query()).id;
          void [vm, logs, sizes, regions, total, output, gone, transformer, shape];
        }
        """

    private func compile(_ program: String) async throws -> ChildProcess.Output {
        try await withTemporaryDirectory { directory in
            try Data(PackageResources.AppRouter_d_ts).write(to: URL(filePath: "\(directory)/AppRouter.d.ts"))
            try program.write(toFile: "\(directory)/program.ts", atomically: true, encoding: .utf8)
            var command = ChildProcess.Command(
                "/usr/bin/env", ["tsc", "--strict", "--noEmit", "--target", "es2020", "program.ts"])
            command.workingDirectory = directory
            return try await ChildProcess.run(command, deadline: .seconds(120))
        }
    }

    @Test func programsAreCheckedAgainstThePublishedTypes() async throws {
        let output = try await compile(Self.program)
        #expect(output.ending.isSuccess, "Debian's node-typescript: \(output.text)\(output.errorText)")
        // And that the compiler looks at all.
        let wrong = try await compile(Self.program.replacing("'echo hi' })).stdout", with: "7 })).stdout"))
        #expect(!wrong.ending.isSuccess && wrong.text.contains("program.ts"), "\(wrong.text)")
    }
}
