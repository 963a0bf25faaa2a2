console.log('before');
const nothing: any = undefined;
nothing.at.all();
